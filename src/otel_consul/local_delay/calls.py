"""What one open call has lost inside this process, worked out at the moments when it goes on.

A transport says when a phase that waited for something ends, just before it marks the next phase. A short phase needs
no explanation: it costs a clock reading and a comparison. A long one is asked what the kernel knows about it.

Only time by which the call was really held up counts: a loop that was blocked, or a GIL that was held, while Consul
was still working has cost nothing, and then `wait` is Consul's.
"""

from __future__ import annotations

from typing import Any, Final

from otel_consul import guard
from otel_consul.background.clock import perf_counter
from otel_consul.local_delay import sockets
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.probe import Probe
from otel_consul.local_delay.sockets import TICK
from otel_consul.network import tcp_info
from otel_consul.network.connections import CONNECTIONS, Silence
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
    starved: float = 0.0
    """Ready to run, and without a processor: `cpu` and `throttled` together."""
    _ready: float | None = None
    """The kernel's last word on how long this call's thread has been that; None while nobody asks."""
    _asked: float = 0.0
    """When that was."""
    _sock: Any = None
    """Where the answer comes in, while it is awaited."""
    _sent: float = 0.0
    """When the request had been sent."""
    _head: float = 0.0
    """When the head of the last answer had come."""
    _sure: bool = False
    """Whether more than a single tick of the kernel's clock speaks for all this."""

    network_delay: float = 0.0
    """What its waits have lost to the network."""
    retransmits: int = 0
    """Segments sent again while it waited."""
    round_trip: float = 0.0
    """The least seen on its connection; 0 if not known."""

    def __init__(self, pauses: Pauses, probe: Probe, paused: float) -> None:
        self._pauses = pauses
        self._probe = probe
        self.paused = paused
        """Seconds of all pauses before this call."""

    # --- what transports say -------------------------------------------------------------------------------------

    def waited(self, clock: Clock) -> None:
        """A wait ends that no socket knows about: for a connection of the pool, for a name."""
        if self._ready is not None:
            self._without_processor(perf_counter())

    def connected(self, clock: Clock, sock: Any) -> None:
        """A connection is made, or its TLS is."""
        self._sent = 0.0
        now = perf_counter()
        if now - clock.last > SHORT:
            info = sockets.reading(sock)
            self._arrived(clock, sockets.arrived_ago(info), clock.last, now)
            note(sock, info)
        elif not CONNECTIONS.believed:
            note(sock, sockets.reading(sock))

    def sent(self, clock: Clock, sock: Any) -> None:
        """The request is sent; `sock` is where the answer will come in."""
        self._sock = sock
        self._head = 0.0
        self._sent = now = perf_counter()
        if now - clock.last > SHORT:
            info = sockets.reading(sock)
            note(sock, info)
            ago = sockets.sent_ago(info)
            if ago and ago + TICK >= now - clock.last:
                # All of it left at once: what sending took beyond that was waiting for the GIL on the way back.
                self._sure = True
                self._lost(clock, clock.last, now)
                return
        if self._ready is not None:
            self._without_processor(now)

    def answering(self, clock: Clock) -> None:
        """The head of the answer is here."""
        self._head = now = perf_counter()
        if now - clock.last > SHORT:
            info, sent_ago = sockets.reading(self._sock), self._sent_ago(now)
            self._arrived(clock, sockets.arrived_ago(info, sent_ago), clock.last, now)
            if sent_ago:
                self._to_network(info, sent_ago)

    def unanswered(self, clock: Clock) -> None:
        """The wait for the answer ends, and it has not come: time is up, or the connection has failed."""
        sent_ago = self._sent_ago(perf_counter())
        if sent_ago > SHORT:
            self._to_network(sockets.reading(self._sock), sent_ago, answered=False)

    def silence(self) -> Silence | None:
        """Whose silence the call hears that waits for its answer. From any thread, at any time."""
        sock, sent = self._sock, self._sent
        if sock is None or not sent or self._head:
            return None
        sent_ago = perf_counter() - sent
        info = tcp_info.read(sock, sent_ago)
        found = None if info is None else CONNECTIONS.silence(sock, info, sent_ago)
        # The call may have gone on meanwhile, on another connection perhaps.
        return found if self._sock is sock and self._sent == sent and not self._head else None

    def received(self, clock: Clock, size: int = 0) -> None:
        """The whole answer is here, so many bytes if that is known; what follows is decoding."""

    # --- what it amounts to --------------------------------------------------------------------------------------

    def total(self, clock: Clock, *, answered: bool) -> list[float] | None:
        """Seconds by `LocalDelay` of a call that has just ended, None if nothing was lost."""
        end = clock.last
        pauses = self._pauses
        gc = (pauses.until(end) if pauses.began else pauses.total) - self.paused
        if gc > _LEAST:
            gc = self._of_collector(gc, clock.started, end)
        if end - clock.started > SHORT:
            self._explain(clock, end, answered=answered)
            if (self.event_loop or self.gil) and not self._is_sure(clock.started, end):
                self.event_loop = self.gil = 0.0
        self._sock = None
        if gc and gc < _LEAST and gc < (end - clock.started) * _LEAST_SHARE:
            gc = 0.0
        if self.starved > _LEAST:
            return self._divided(clock, gc, end - clock.started)
        return [self.event_loop, gc, self.gil, 0.0, 0.0] if gc or self.event_loop or self.gil else None

    def _of_collector(self, gc: float, start: float, end: float) -> float:
        """What the collector took of its pauses, and what the machine did: a pause in the call's own thread is told of there."""
        starved, by_others = self._pauses.starved(start, end, but_by=self._thread())
        self.starved += by_others
        return max(0.0, gc - starved)

    def _thread(self) -> int:
        """The number of the thread that runs this call."""
        return 0

    def _divided(self, clock: Clock, gc: float, elapsed: float) -> list[float]:
        """The same, with what the machine took: by other processes, or by the CPU limit. None of it is twice in it."""
        starved = min(self.starved, elapsed)
        by_limit = self._probe.throttled(clock.started)
        if by_limit is None:  # ready to run, but nobody knows what kept it: as good as the GIL, to who asks what to do
            return [self.event_loop, gc, min(self.gil + starved, elapsed), 0.0, 0.0]
        throttled = min(starved, by_limit)
        return [self.event_loop, gc, self.gil, starved - throttled, throttled]

    def drop(self) -> None:
        """The call is abandoned, by another thread: nothing that it could still say would be true."""

    def _is_sure(self, start: float, end: float) -> bool:
        """A single tick may be chance. In a short call it counts if the background thread had its troubles too."""
        return self._sure or (end - start < _MANY_TICKS * TICK and self._probe.worst(start, end) > SHORT)

    def _without_processor(self, now: float, lost: float = 0.0, start: float = 0.0) -> float:
        """Seconds since the last question for which this call's thread had no processor. Counted, here and now."""
        return 0.0

    def _explain(self, clock: Clock, end: float, *, answered: bool) -> None:
        """What can be said at the end only."""

    def _lost(self, clock: Clock, start: float, now: float) -> None:
        """From `start` to now the call could have gone on, and did not."""

    def _to_network(self, info: bytes | None, sent_ago: float, *, answered: bool = True) -> None:
        """The wait that began when the request went out is over: what of it was the network's?"""
        try:
            parsed = tcp_info.parse(info, sent_ago)
            if parsed is not None:
                lost = CONNECTIONS.lost(self._sock, parsed, sent_ago, answered=answered)
                self.network_delay += lost.delay
                self.retransmits += lost.retransmits
                self.round_trip = lost.round_trip
        except Exception:  # noqa: BLE001 -- transports call this in the caller's way
            guard.fault("asking what the network lost")

    def _sent_ago(self, now: float) -> float:
        """Seconds since the request went out; 0 if it has not."""
        return now - self._sent if self._sent else 0.0

    def _arrived(self, clock: Clock, ago: float | None, start: float, now: float) -> None:
        """A wait for the network from `start` is over: it was `ago`, in truth, if that is known."""
        if ago:
            self._sure = self._sure or ago > TICK
            self._lost(clock, max(start, now - ago), now)


def note(sock: Any, info: bytes | None) -> None:
    """Something else than a wait has ended on this connection: what was sent again in it is not the next wait's."""
    parsed = tcp_info.parse(info)
    if parsed is not None:
        CONNECTIONS.note(sock, parsed)
