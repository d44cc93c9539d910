"""What Linux knows of one TCP connection (`TCP_INFO`), as far as it can be believed.

Zero is not evidence, nor are bytes past the end: some kernels answer in full length and leave most of it zero (gVisor),
old ones answer with less, sandboxes refuse. An answer that cannot be true is no answer.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import Any, Final, NamedTuple

AVAILABLE: Final = sys.platform == "linux" and hasattr(socket, "TCP_INFO")
_CLOCK_MONOTONIC_COARSE: Final = 6


def _tick() -> float:
    try:
        return max(0.001, time.clock_getres(_CLOCK_MONOTONIC_COARSE))
    except (AttributeError, OSError):
        return 0.01


TICK: Final = _tick()
"""The kernel's clock, seconds: readings differ from the truth by up to this."""
BELIEVED: Final = 3 * TICK
"""Seconds after which a kernel that keeps this clock must have seen it move, unless it has sent again since."""
ESTABLISHED: Final = 1
CLOSE_WAIT: Final = 8
"""The state of a connection whose other side has closed it."""
LENGTH: Final = 232
"""Bytes to ask for."""
_BASIC: Final = 104
_FULL: Final = 220
"""Up to the count of duplicates that the other side reported: since Linux 4.19."""
_EARLY: Final = struct.Struct("=BBBBB19xI16xI4xII40xI")
"""state, -, retransmits, probes, backoff, unacked, last_data_sent, last_data_recv, last_ack_recv, total_retrans."""
_LATE: Final = struct.Struct("=40xII16xQ40xI")
"""From byte 104: notsent_bytes, min_rtt, busy_time, dsack_dups."""


class TcpInfo(NamedTuple):
    """One reading. Seconds."""

    state: int
    probes: int
    """Probes that have not been answered, of the window or of keep-alive."""
    unacked: int
    """Segments sent and not acknowledged."""
    sent_ago: float
    """Since data was last sent, or sent again."""
    received_ago: float
    """Since data last came (or the connection was made)."""
    heard_ago: float
    """Since anything last came, an acknowledgement say."""
    retransmitted: int
    """Segments sent again since the connection was made."""
    not_sent: int
    """Bytes that still wait for room."""
    round_trip: float
    """The least seen; 0 where none was."""
    busy: float
    """For which data was on its way, since the connection was made."""
    duplicates: int
    """Segments that the other side says it had already."""


def read(sock: Any, sent_ago: float = 0.0) -> TcpInfo | None:
    """What the kernel says of `sock`; None if that cannot be known, or cannot be true.

    `sent_ago` is how long ago the request went out at least, 0 if it has not.
    """
    if not AVAILABLE or sock is None:
        return None
    try:
        return parse(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LENGTH), sent_ago)
    except Exception:  # noqa: BLE001 -- a unix socket, a closed one, or somebody's imitation of a socket
        return None


def parse(info: bytes | None, sent_ago: float = 0.0) -> TcpInfo | None:
    """As `read`, of what the kernel said just now."""
    if info is None:
        return None
    try:
        if len(info) < _FULL:
            return None
        state, _, _, probes, _, unacked, sent, received, heard, again = _EARLY.unpack_from(info)
        not_sent, round_trip, busy, duplicates = _LATE.unpack_from(info, _BASIC)
    except Exception:  # noqa: BLE001 -- somebody's imitation of a socket has answered
        return None
    if sent_ago > BELIEVED and not sent and not again:
        return None  # it has sent a while ago, and knows nothing of it
    return TcpInfo(
        state,
        probes,
        unacked,
        sent / 1e3,
        received / 1e3,
        heard / 1e3,
        again,
        not_sent,
        round_trip / 1e6,
        busy / 1e6,
        duplicates,
    )
