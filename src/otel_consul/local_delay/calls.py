"""What one open call has lost inside this process, worked out at the moments when it goes on.

A transport says when a phase that waited for something ends, just before it marks the next phase. A short phase needs
no explanation: it costs a clock reading and a comparison. A long one is asked what the kernel knows about it.

Only time by which the call was really held up counts: a loop that was blocked, or a GIL that was held, while Consul
was still working has cost nothing, and then `wait` is Consul's.
"""

from __future__ import annotations

import sys
from threading import get_ident
from time import perf_counter, thread_time
from typing import Any, Final

from otel_consul import guard
from otel_consul.local_delay import sockets
from otel_consul.local_delay.loops import LoopWatch
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.probe import Probe
from otel_consul.local_delay.sockets import TICK
from otel_consul.phases import Clock
from otel_consul.semconv import Phase

SHORT: Final = 0.002
"""Seconds below which a phase is not asked what it waited for."""
_LEAST: Final = 0.001
_LEAST_SHARE: Final = 0.05
"""Collector pauses below a millisecond and below this share of the call are not worth an attribute."""
_TURNS: Final = 4
"""How often `other` may have had to wait for the GIL: its few system calls each let go of it."""
_MANY_TICKS: Final = 20
_OTHER: Final = int(Phase.OTHER)
_WAITS: Final = range(Phase.POOL, Phase.DECODE)


class Delay:
    """What one call has lost. Seconds; times are `perf_counter`'s."""

    # Class attributes, so that a call that has none of it pays nothing for it.
    event_loop: float = 0.0
    gil: float = 0.0
    _sock: Any = None
    """Where the answer comes in, while it is awaited."""
    _head: float = 0.0
    """When the head of the last answer had come."""
    _sure: bool = False
    """Whether more than a single tick of the kernel's clock speaks for all this."""

    _pauses: Pauses
    _paused: float
    """Seconds of all pauses before this call."""
    _probe: Probe

    # --- what transports say -------------------------------------------------------------------------------------

    def waited(self, clock: Clock) -> None:
        """A wait ends that no socket knows about: for a connection of the pool, for a name."""

    def connected(self, clock: Clock, sock: Any) -> None:
        """A connection is made, or its TLS is."""
        now = perf_counter()
        if now - clock.last > SHORT:
            self._arrived(clock, sock, clock.last, now)

    def sent(self, clock: Clock, sock: Any) -> None:
        """The request is sent; `sock` is where the answer will come in."""
        self._sock = sock
        self._head = 0.0
        now = perf_counter()
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

    def received(self, clock: Clock) -> None:
        """The whole answer is here; what follows is decoding."""

    # --- what it amounts to --------------------------------------------------------------------------------------

    def total(self, clock: Clock, *, answered: bool) -> list[float] | None:
        """Seconds by `LocalDelay` of a call that has just ended, None if nothing was lost."""
        end = clock.last
        pauses = self._pauses
        gc = (pauses.until(end) if pauses.began else pauses.total) - self._paused
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
        raise NotImplementedError

    def _lost(self, clock: Clock, start: float, now: float) -> None:
        raise NotImplementedError

    def _arrived(self, clock: Clock, sock: Any, start: float, now: float) -> None:
        """A wait for the network from `start` is over: how long had it been, in truth?"""
        ago = sockets.since_received(sock)
        if ago:
            self._sure = self._sure or ago > TICK
            self._lost(clock, max(start, now - ago), now)


class ThreadDelay(Delay):
    """A call that keeps its thread waiting."""

    _network: float | None = None
    """Seconds from the answer's head to its end that were spent waiting for it, if that is known."""

    def __init__(self, pauses: Pauses, probe: Probe, cpu: float) -> None:
        self._pauses = pauses
        self._paused = pauses.until(perf_counter()) if pauses.began else pauses.total
        self._probe = probe
        self._cpu = cpu
        """The thread's processor time when the call began, or a moment before."""

    def received(self, clock: Clock) -> None:
        """What Consul's answer took to come in; from its head on the thread has nothing else to wait for."""
        sock, self._sock = self._sock, None
        if sock is None or not self._head:
            return
        wall = perf_counter() - self._head
        ago = sockets.since_received(sock) if wall > SHORT else 0.0
        if ago is not None:
            # Within a tick of everything having been here when the head was: then nothing was waited for.
            self._network = 0.0 if ago and ago + TICK >= wall else wall - ago

    def _explain(self, clock: Clock, end: float, *, answered: bool) -> None:
        computing, others = 0.0, clock.times[_OTHER]
        if answered and self._sock is None and self._network is not None and end - self._head - self._network > SHORT:
            computing = end - self._head - self._network
            others -= min(others, computing)
        if others > SHORT and not clock.resends:  # else it may be a back-off
            # It could be honest waiting too, of an adapter with a rate limit say: only as much as the probe suffered.
            computing += min(others, _TURNS * self._probe.worst(clock.started, end))
        if computing > SHORT:
            computing -= thread_time() - self._cpu
            computing -= self._pauses.within(max(clock.started, end - computing), end, but_by=get_ident())
            if computing > SHORT:
                self._sure = True
                self.gil += computing
        monkey = sys.modules.get("gevent.monkey") if self.gil else None
        if monkey is not None and monkey.is_module_patched("socket"):
            # A greenlet, and its hub had no time for it.
            self.event_loop, self.gil = self.gil, 0.0

    def _lost(self, clock: Clock, start: float, now: float) -> None:
        try:
            self.gil += max(0.0, now - start - self._pauses.within(start, now, but_by=get_ident()))
        except Exception:  # noqa: BLE001 -- transports call this in the caller's way
            guard.fault("attributing local delay")


class TaskDelay(Delay):
    """A call that an event loop runs, along with others."""

    def __init__(self, pauses: Pauses, probe: Probe, watch: LoopWatch) -> None:
        self._pauses = pauses
        self._paused = pauses.until(perf_counter()) if pauses.began else pauses.total
        self._probe = probe
        self._watch = watch
        watch.open(self)

    def waited(self, clock: Clock) -> None:
        """As far as the loop was busy, what was waited for may have come at any time in it."""
        now = perf_counter()
        if now - clock.last > SHORT:
            self._loop_was_busy(clock, clock.last, now)

    def connected(self, clock: Clock, sock: Any) -> None:
        """As every call's; but the loop may have been busy before it even began to connect, as uvloop does later."""
        now = perf_counter()
        if now - clock.last > SHORT:
            ago = sockets.since_received(sock)
            if ago is not None and ago > TICK:
                super()._arrived(clock, sock, clock.last, now)
            else:
                self._loop_was_busy(clock, clock.last, now)

    def received(self, clock: Clock) -> None:
        """The body's last part may have been waiting as well, but a long body keeps the loop busy by itself."""
        sock, self._sock = self._sock, None
        if not self._head:  # the transport gives no signals
            self._loop_was_busy(clock, clock.started, perf_counter())
        elif sock is not None:
            now = perf_counter()
            if now - self._head > SHORT:
                ago = sockets.since_received(sock)
                self._loop_was_busy(clock, self._head if ago is None else max(self._head, now - ago), now)

    def total(self, clock: Clock, *, answered: bool) -> list[float] | None:
        """As every call's; and the loop need not be watched for it any more."""
        self._watch.calls.discard(self)
        return super().total(clock, answered=answered)

    def drop(self) -> None:
        """As every call's; and the loop need not be watched for it any more."""
        self._watch.calls.discard(self)

    def _explain(self, clock: Clock, end: float, *, answered: bool) -> None:
        if not answered and clock.phase in _WAITS:
            self._loop_was_busy(clock, clock.started, end)

    def _arrived(self, clock: Clock, sock: Any, start: float, now: float) -> None:
        if sockets.since_received(sock) is None:
            self._loop_was_busy(clock, start, now)
        else:
            super()._arrived(clock, sock, start, now)

    def _loop_was_busy(self, clock: Clock, start: float, now: float) -> None:
        try:
            since = self._watch.busy_since(now)
            start = now if since is None else max(start, since)
            if now - start > SHORT and self._watch.thread == get_ident():
                self._sure = True
                self._lost(clock, start, now)
        except Exception:  # noqa: BLE001 -- transports call this in the caller's way
            guard.fault("attributing local delay")

    def _lost(self, clock: Clock, start: float, now: float) -> None:
        try:
            event_loop, gil = self._watch.split(start, now)
            self.event_loop += event_loop
            self.gil += gil
        except Exception:  # noqa: BLE001
            guard.fault("attributing local delay")
