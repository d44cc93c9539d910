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
import time
from typing import Any, Final

_STATE: Final = 0
_SENT: Final = 44
_RECEIVED: Final = 52
_RETRANSMITTED: Final = 100
_LENGTH: Final = 104
_CLOSE_WAIT: Final = 8
"""The state of a connection whose other side has closed it."""
_CLOCK_MONOTONIC_COARSE: Final = 6


def _tick() -> float:
    try:
        return max(0.001, time.clock_getres(_CLOCK_MONOTONIC_COARSE))
    except (AttributeError, OSError):
        return 0.01


TICK: Final = _tick()
"""The kernel's clock, seconds: readings differ from the truth by up to this."""
_BELIEVED: Final = 3 * TICK
"""Seconds after which a kernel that keeps this clock must have seen it move, unless it has sent again since."""
AVAILABLE: Final = sys.platform == "linux" and hasattr(socket, "TCP_INFO")


def since_received(sock: Any, sent_ago: float = 0.0) -> float | None:
    """Seconds since data last came in (or the connection was made); None if that cannot be known.

    `sent_ago` is how long ago the request went out at least: a kernel that says otherwise is not believed.
    """
    return _ago(sock, _RECEIVED, sent_ago)


def since_complete(sock: Any, sent_ago: float = 0.0) -> float | None:
    """As `since_received`, where all has come. A hang-up is no data: if the other side has closed, nobody knows when."""
    return _ago(sock, _RECEIVED, sent_ago, but_in=_CLOSE_WAIT)


def since_sent(sock: Any) -> float | None:
    """Seconds since data last went out; None if that cannot be known."""
    return _ago(sock, _SENT)


def _ago(sock: Any, offset: int, sent_ago: float = 0.0, *, but_in: int = 0) -> float | None:
    if not AVAILABLE or sock is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LENGTH)
        if info[_STATE] == but_in or len(info) < offset + 4:
            return None
        if sent_ago > _BELIEVED and not _word(info, _SENT) and not _word(info, _RETRANSMITTED):
            return None  # zeros, of a kernel that does not know (gVisor): they are no evidence of anything
        return _word(info, offset) / 1000
    except Exception:  # noqa: BLE001 -- a unix socket, a closed one, or somebody's imitation of a socket
        return None


def _word(info: bytes, offset: int) -> int:
    """The number there; 0 past the end of a short answer."""
    return int.from_bytes(info[offset : offset + 4], sys.byteorder)
