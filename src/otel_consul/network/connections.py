"""What the network did to a request, and whose silence a waiting call hears.

A connection's totals are remembered from one long wait to the next: a wait too short to be asked about is too short for
a retransmission.
"""

from __future__ import annotations

import socket
import weakref
from typing import Any, Final, NamedTuple

from otel_consul.network.tcp_info import BELIEVED, CLOSE_WAIT, ESTABLISHED, TcpInfo
from otel_consul.semconv import NetworkState

LEAST: Final = 0.01
"""Seconds of delay that are worth a word."""
_ACKNOWLEDGED_BY: Final = 0.25
"""Seconds after which an acknowledgement is missing: the other side may put it off for 0.2."""
_PROBES: Final = 2
"""Probes that must be open, for one of them to be unanswered."""


class Lost(NamedTuple):
    """What one wait lost to the network."""

    delay: float
    """Seconds before the transmission that got through, and one least round trip; 0 if that is next to nothing."""
    retransmits: int
    """Segments sent again."""
    round_trip: float
    """Seconds, the least seen on this connection; 0 if not known."""


class Silence(NamedTuple):
    """Whose silence a waiting call hears."""

    state: str
    """A value of `consul.network.state`."""
    retransmits: int
    """Segments sent again while it waited."""
    silent_for: float
    """Seconds since anything came from there."""
    keep_alive: bool | None = None
    """Whether the kernel asks the other side, now and then, whether it is still there."""


def _keeps_alive(sock: Any) -> bool | None:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    except Exception:  # noqa: BLE001 -- closed meanwhile, or somebody's imitation of a socket
        return None


class Connections:
    """The totals of connections that have been asked."""

    def __init__(self) -> None:
        self.believed = False
        """Whether this kernel has told of a connection what some leave zero: then nothing sent again is 0, and not unknown."""
        self._totals: dict[int, tuple[weakref.ref[Any], int, int]] = {}
        """By id(socket): segments sent again, and those reported as duplicates."""

    def lost(self, sock: Any, info: TcpInfo, sent_ago: float, *, answered: bool = True) -> Lost:
        """What the wait lost that began when the request went out, `sent_ago`, and ends now."""
        again, duplicates = self._grown(sock, info, remember=True)
        delay = 0.0
        if again:
            if not answered and (info.unacked or info.not_sent):
                delay = sent_ago  # it has never got through
            elif not duplicates and info.sent_ago < sent_ago - BELIEVED:
                # What was sent last got through. Had an earlier one, the other side would have seen it twice, and said so.
                delay = sent_ago - info.sent_ago
            if delay > info.busy + BELIEVED:  # the kernel says that less was on its way: then this was something else
                delay = 0.0
        delay += info.round_trip
        return Lost(delay if delay >= LEAST else 0.0, again, info.round_trip)

    def silence(self, sock: Any, info: TcpInfo, sent_ago: float) -> Silence | None:
        """Why nothing comes, for a request that went out `sent_ago`; None where that cannot be told. From any thread."""
        again, _ = self._grown(sock, info, remember=False)
        if info.state == CLOSE_WAIT:
            state = NetworkState.CLOSED_BY_PEER
        elif info.state != ESTABLISHED:
            return None
        elif info.probes >= _PROBES and not info.unacked:
            state = NetworkState.UNACKNOWLEDGED  # keep-alive asks, and nobody answers
        elif not info.unacked and not info.not_sent:
            state = NetworkState.ACKNOWLEDGED
        elif sent_ago > _ACKNOWLEDGED_BY:
            state = NetworkState.UNACKNOWLEDGED
        else:
            return None
        return Silence(state, again, min(info.heard_ago, info.received_ago), _keeps_alive(sock))

    def note(self, sock: Any, info: TcpInfo) -> None:
        """Remember the totals: something else than a wait has ended."""
        self._grown(sock, info, remember=True)

    def _grown(self, sock: Any, info: TcpInfo, *, remember: bool) -> tuple[int, int]:
        """By how much the totals have grown since they were remembered."""
        self.believed = self.believed or info.round_trip > 0
        sock = getattr(sock, "_sock", sock)  # asyncio hands out a shell of it
        key = id(sock)
        known = self._totals.get(key)
        again, duplicates = known[1:] if known is not None and known[0]() is sock else (0, 0)
        if remember and (info.retransmitted, info.duplicates) != (again, duplicates):
            totals = self._totals
            try:
                there = weakref.ref(sock, lambda _: totals.pop(key, None))
            except TypeError:
                return 0, 0
            totals[key] = (there, info.retransmitted, info.duplicates)
        return max(0, info.retransmitted - again), max(0, info.duplicates - duplicates)

    def clear(self) -> None:
        """Forget them all."""
        self._totals.clear()
        self.believed = False


CONNECTIONS: Final = Connections()
