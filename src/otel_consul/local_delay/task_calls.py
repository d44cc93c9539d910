"""What a call that an event loop runs has lost: to what else the loop had to do, or to the GIL."""

from __future__ import annotations

from typing import Any, Final

from otel_consul import guard
from otel_consul.background.clock import perf_counter
from otel_consul.background.os_threads import get_ident
from otel_consul.local_delay import sockets
from otel_consul.local_delay.calls import SHORT, Delay, note
from otel_consul.local_delay.loops import LoopWatch
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.probe import Probe
from otel_consul.local_delay.sockets import TICK
from otel_consul.network.connections import CONNECTIONS
from otel_consul.phases import Clock
from otel_consul.semconv import Phase

_WAITS: Final = range(Phase.POOL, Phase.DECODE)
_COMPUTING: Final = 0.0005
"""Seconds of computing below which nothing is asked."""
_OWN_PER_BYTE: Final = 3e-9
"""Seconds in which a transport takes in a body and joins its parts, at most: on a slow or loaded machine."""


class TaskDelay(Delay):
    """A call that an event loop runs, along with others."""

    def __init__(self, pauses: Pauses, probe: Probe, watch: LoopWatch) -> None:
        self._pauses = pauses
        self.paused = pauses.until(perf_counter()) if pauses.began else pauses.total
        self._probe = probe
        self._watch = watch
        watch.open(self)
        if probe.alert:
            watch.note(perf_counter())

    def _thread(self) -> int:
        """The number of the loop's thread."""
        return self._watch.thread

    def waited(self, clock: Clock) -> None:
        """As far as the loop was busy, what was waited for may have come at any time in it."""
        now = perf_counter()
        if now - clock.last > SHORT:
            self._loop_was_busy(clock, clock.last, now)
        if now < self._watch.doubtful_until:
            self._watch.note(now)

    def connected(self, clock: Clock, sock: Any) -> None:
        """As every call's; but the loop may have been busy before it even began to connect, as uvloop does later."""
        self._sent = 0.0
        now = perf_counter()
        if now - clock.last > SHORT:
            info = sockets.reading(sock)
            ago = sockets.arrived_ago(info)
            if ago is not None and ago > TICK:
                super()._arrived(clock, ago, clock.last, now)
            else:
                self._loop_was_busy(clock, clock.last, now)
            note(sock, info)
        elif not CONNECTIONS.believed:
            note(sock, sockets.reading(sock))

    def sent(self, clock: Clock, sock: Any) -> None:
        """As every call's; and until here the loop's thread had only computing to do, unless it had to wait for something."""
        super().sent(clock, sock)
        if self._probe.alert:
            waited = sum(clock.times[: Phase.SEND])
            self._computing(self._sent, clock.started if waited < SHORT and not clock.resends else clock.last)

    def received(self, clock: Clock, size: int = 0) -> None:
        """The body's last part may have been waiting as well, but a long body keeps the loop busy by itself."""
        sock, self._sock = self._sock, None
        if not self._head:  # the transport gives no signals
            self._loop_was_busy(clock, clock.started, perf_counter())
        elif sock is not None:
            now = perf_counter()
            if now - self._head > SHORT:
                ago = sockets.since_received(sock, self._sent_ago(now))
                start = self._head if ago is None else max(self._head, now - ago)
                self._loop_was_busy(clock, start, now, size * _OWN_PER_BYTE)

    def total(self, clock: Clock, *, answered: bool) -> list[float] | None:
        """As every call's; and the loop need not be watched for it any more."""
        self._watch.calls.discard(self)
        return super().total(clock, answered=answered)

    def drop(self) -> None:
        """As every call's; and the loop need not be watched for it any more."""
        self._watch.calls.discard(self)

    def _computing(self, now: float, start: float) -> None:
        """From `start`, or the last question, to now the loop's thread had nothing to wait for but a processor."""
        start = max(start, self._asked)
        if now - start > _COMPUTING:
            self._asked = now
            self.starved += self._watch.starved(start, now)

    def _explain(self, clock: Clock, end: float, *, answered: bool) -> None:
        if answered and self._probe.alert:
            self._computing(end, end - clock.times[Phase.DECODE])
        if not answered and clock.phase in _WAITS:
            self._loop_was_busy(clock, clock.started, end)

    def _arrived(self, clock: Clock, ago: float | None, start: float, now: float) -> None:
        if ago is None:
            self._loop_was_busy(clock, start, now)
        else:
            super()._arrived(clock, ago, start, now)

    def _loop_was_busy(self, clock: Clock, start: float, now: float, own: float = 0.0) -> None:
        """Less what may have been this call's own work."""
        try:
            since = self._watch.busy_since(now)
            start = now if since is None else max(start, since) + own
            if now - start > SHORT and self._watch.thread == get_ident():
                self._sure = True
                self._lost(clock, start, now)
        except Exception:  # noqa: BLE001 -- transports call this in the caller's way
            guard.fault("attributing local delay")

    def _lost(self, clock: Clock, start: float, now: float) -> None:
        try:
            start = max(start, min(self._asked, now))
            event_loop, gil, starved = self._watch.split(start, now)
            self._asked = now
            self.event_loop += event_loop
            self.gil += gil
            self.starved += starved
        except Exception:  # noqa: BLE001
            guard.fault("attributing local delay")
