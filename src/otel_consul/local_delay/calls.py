"""What one open call has lost inside this process, worked out at the moments when it goes on.

A transport says when a phase that waited for something ends, just before it marks the next phase. A short phase needs
no explanation: it costs a clock reading and a comparison. A long one is asked what the kernel knows about it.

Only time by which the call was really held up counts: a loop that was blocked, or a GIL that was held, while Consul
was still working has cost nothing, and then `wait` is Consul's.
"""

from __future__ import annotations

from typing import Any, Final

from otel_consul.clock import perf_counter
from otel_consul.local_delay import sockets
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.probe import Probe
from otel_consul.local_delay.sockets import TICK
from otel_consul.phases import Clock

SHORT: Final = 0.002
"""Seconds below which a phase is not asked what it waited for."""
_LEAST: Final = 0.001
_LEAST_SHARE: Final = 0.05
"""Collector pauses below a millisecond and below this share of the call are not worth an attribute."""
_MANY_TICKS: Final = 20


class Delay:
    """What one call has lost. Seconds; times are `perf_counter`'s.

    This one knows of the collector's pauses only: for a call that goes on in a loop that nobody watches.
    """

    # Class attributes, so that a call that has none of it pays nothing for it.
    event_loop: float = 0.0
    gil: float = 0.0
    _sock: Any = None
    """Where the answer comes in, while it is awaited."""
    _sent: float = 0.0
    """When the request had been sent."""
    _head: float = 0.0
    """When the head of the last answer had come."""
    _sure: bool = False
    """Whether more than a single tick of the kernel's clock speaks for all this."""

    _probe: Probe

    def __init__(self, pauses: Pauses, paused: float) -> None:
        self._pauses = pauses
        self.paused = paused
        """Seconds of all pauses before this call."""

    # --- what transports say -------------------------------------------------------------------------------------

    def waited(self, clock: Clock) -> None:
        """A wait ends that no socket knows about: for a connection of the pool, for a name."""

    def connected(self, clock: Clock, sock: Any) -> None:
        """A connection is made, or its TLS is."""
        self._sent = 0.0
        now = perf_counter()
        if now - clock.last > SHORT:
            self._arrived(clock, sock, clock.last, now)

    def sent(self, clock: Clock, sock: Any) -> None:
        """The request is sent; `sock` is where the answer will come in."""
        self._sock = sock
        self._head = 0.0
        self._sent = now = perf_counter()
        if now - clock.last > SHORT:
            ago = sockets.since_sent(sock)
            if ago and ago + TICK >= now - clock.last:
                # All of it left at once: what sending took beyond that was waiting for the GIL on the way back.
                self._sure = True
                self._lost(clock, clock.last, now)

    def answering(self, clock: Clock) -> None:
        """The head of the answer is here."""
        self._head = now = perf_counter()
        if now - clock.last > SHORT:
            self._arrived(clock, self._sock, clock.last, now)

    def received(self, clock: Clock, size: int = 0) -> None:
        """The whole answer is here, so many bytes if that is known; what follows is decoding."""

    # --- what it amounts to --------------------------------------------------------------------------------------

    def total(self, clock: Clock, *, answered: bool) -> list[float] | None:
        """Seconds by `LocalDelay` of a call that has just ended, None if nothing was lost."""
        end = clock.last
        pauses = self._pauses
        gc = (pauses.until(end) if pauses.began else pauses.total) - self.paused
        if end - clock.started > SHORT:
            self._explain(clock, end, answered=answered)
            if (self.event_loop or self.gil) and not self._is_sure(clock.started, end):
                self.event_loop = self.gil = 0.0
        self._sock = None
        if gc and gc < _LEAST and gc < (end - clock.started) * _LEAST_SHARE:
            gc = 0.0
        return [self.event_loop, gc, self.gil] if gc or self.event_loop or self.gil else None

    def drop(self) -> None:
        """The call is abandoned, by another thread: nothing that it could still say would be true."""

    def _is_sure(self, start: float, end: float) -> bool:
        """A single tick may be chance. In a short call it counts if the background thread had its troubles too."""
        return self._sure or (end - start < _MANY_TICKS * TICK and self._probe.worst(start, end) > SHORT)

    def _explain(self, clock: Clock, end: float, *, answered: bool) -> None:
        """What can be said at the end only."""

    def _lost(self, clock: Clock, start: float, now: float) -> None:
        """From `start` to now the call could have gone on, and did not."""

    def _sent_ago(self, now: float) -> float:
        """Seconds since the request went out; 0 if it has not."""
        return now - self._sent if self._sent else 0.0

    def _arrived(self, clock: Clock, sock: Any, start: float, now: float) -> None:
        """A wait for the network from `start` is over: how long had it been, in truth?"""
        ago = sockets.since_received(sock, self._sent_ago(now))
        if ago:
            self._sure = self._sure or ago > TICK
            self._lost(clock, max(start, now - ago), now)
