"""How long an answer has been lying in the socket, ready to be read: the kernel knows.

Linux keeps, for each TCP connection, when data last came in and went out (`TCP_INFO`). Asked at the moment an answer
is read, this is proof: so long the answer was here and this process did not get to it. It can only be too small (more
data came meanwhile), never too large, but for its coarse clock: it counts ticks of the kernel, 1 to 10 ms.

Elsewhere, on sockets that are not TCP, and where a kernel answers what cannot be true, there is no proof and the answer is
None.
"""

from __future__ import annotations

import socket
import sys
from typing import Any, Final

from otel_consul.network.tcp_info import AVAILABLE, BELIEVED, CLOSE_WAIT, LENGTH, TICK

__all__ = ["AVAILABLE", "TICK", "arrived_ago", "reading", "sent_ago", "since_complete", "since_received", "since_sent"]

_STATE: Final = 0
_SENT: Final = 44
_RECEIVED: Final = 52
_RETRANSMITTED: Final = 100


def reading(sock: Any) -> bytes | None:
    """What the kernel says of `sock`, as it says it; None if it does not."""
    if not AVAILABLE or sock is None:
        return None
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LENGTH)  # type: ignore[no-any-return]
    except Exception:  # noqa: BLE001 -- a unix socket, a closed one, or somebody's imitation of a socket
        return None


def arrived_ago(info: bytes | None, since_sent: float = 0.0) -> float | None:
    """As `since_received`, of a reading that was made just now."""
    return _ago(info, _RECEIVED, since_sent)


def since_received(sock: Any, sent_ago: float = 0.0) -> float | None:
    """Seconds since data last came in (or the connection was made); None if that cannot be known.

    `sent_ago` is how long ago the request went out at least: a kernel that says otherwise is not believed.
    """
    return _ago(reading(sock), _RECEIVED, sent_ago)


def sent_ago(info: bytes | None) -> float | None:
    """As `since_sent`, of a reading that was made just now."""
    return _ago(info, _SENT)


def since_complete(sock: Any, sent_ago: float = 0.0) -> float | None:
    """As `since_received`, where all has come. A hang-up is no data: if the other side has closed, nobody knows when."""
    return _ago(reading(sock), _RECEIVED, sent_ago, but_in=CLOSE_WAIT)


def since_sent(sock: Any) -> float | None:
    """Seconds since data last went out; None if that cannot be known."""
    return _ago(reading(sock), _SENT)


def _ago(info: bytes | None, offset: int, sent_ago: float = 0.0, *, but_in: int = 0) -> float | None:
    if info is None:
        return None
    try:
        if info[_STATE] == but_in or len(info) < offset + 4:
            return None
        if sent_ago > BELIEVED and not _word(info, _SENT) and not _word(info, _RETRANSMITTED):
            return None  # zeros, of a kernel that does not know (gVisor): they are no evidence of anything
        return _word(info, offset) / 1000
    except Exception:  # noqa: BLE001 -- somebody's imitation of a socket has answered
        return None


def _word(info: bytes, offset: int) -> int:
    """The number there; 0 past the end of a short answer."""
    return int.from_bytes(info[offset : offset + 4], sys.byteorder)
