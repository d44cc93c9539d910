"""What a call that keeps its thread waiting has lost: to the GIL, or to a starved machine."""

from __future__ import annotations

from typing import Final

from otel_consul import guard
from otel_consul.background.clock import perf_counter
from otel_consul.background.os_threads import cooperative, get_ident, get_native_id
from otel_consul.local_delay import sockets
from otel_consul.local_delay.callers import thread_time
from otel_consul.local_delay.calls import SHORT, Delay
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.probe import Probe
from otel_consul.local_delay.scheduler import run_delay
from otel_consul.local_delay.sockets import TICK
from otel_consul.phases import Clock
from otel_consul.semconv import Phase

_TURNS: Final = 4
"""How often `other` may have had to wait for the GIL: its few system calls each let go of it."""
_TURN: Final = 0.01
"""Seconds that each of them may have waited, but for the longest."""
_OTHER: Final = int(Phase.OTHER)


class ThreadDelay(Delay):
    """A call that keeps its thread waiting."""

    _network: float | None = None
    """Seconds from the answer's head to its end that were spent waiting for it, if that is known."""

    def __init__(self, pauses: Pauses, probe: Probe, cpu: float) -> None:
        self._pauses = pauses
        self.paused = pauses.until(perf_counter()) if pauses.began else pauses.total
        self._probe = probe
        self._cpu = cpu
        """The thread's processor time when the call began, or a moment before."""
        if probe.alert:
            self._ready = run_delay(get_native_id())
            self._asked = perf_counter()

    def _thread(self) -> int:
        """The number of the thread that waits."""
        return get_ident()

    def received(self, clock: Clock, size: int = 0) -> None:
        """What Consul's answer took to come in; from its head on the thread has nothing else to wait for."""
        sock, self._sock = self._sock, None
        if sock is None or not self._head:
            return
        now = perf_counter()
        wall = now - self._head
        ago = sockets.since_complete(sock, self._sent_ago(now)) if wall > SHORT else 0.0
        if ago is not None:
            # Within a tick of everything having been here when the head was: then nothing was waited for.
            self._network = 0.0 if ago and ago + TICK >= wall else wall - ago

    def _explain(self, clock: Clock, end: float, *, answered: bool) -> None:
        computing, others = 0.0, clock.times[_OTHER]
        if answered and self._sock is None and self._network is not None and end - self._head - self._network > SHORT:
            computing = end - self._head - self._network
            others -= min(others, computing)
        # Without the transport's signals everything is `other`, Consul's own time too; after a retry, its back-off.
        if others > SHORT and not clock.resends and (self._head or self._sock is not None):
            # It could be honest waiting too, of an adapter with a rate limit say: only as much as the probe suffered.
            worst = self._probe.worst(clock.started, end)
            computing += min(others, worst + (_TURNS - 1) * min(worst, _TURN))
        if computing > SHORT:
            start = max(clock.started, end - computing)
            by_others = self._pauses.within(start, end, but_by=get_ident())
            # Its own collections are processor time, unless a finalizer let go of the GIL.
            own = self._pauses.within(start, end) - by_others
            computing -= max(thread_time() - self._cpu, own) + by_others
            computing -= self._without_processor(end, computing, clock.started)
            if computing > SHORT:
                self._sure = True
                self.gil += computing
        elif self._ready is not None:
            self._without_processor(end)
        if self.gil and cooperative("socket"):
            # A greenlet, and its hub had no time for it.
            self.event_loop, self.gil = self.gil, 0.0

    def _lost(self, clock: Clock, start: float, now: float) -> None:
        try:
            lost = max(0.0, now - start - self._pauses.within(start, now))
            self.gil += max(0.0, lost - self._without_processor(now, lost, start))
        except Exception:  # noqa: BLE001 -- transports call this in the caller's way
            guard.fault("attributing local delay")

    def _without_processor(self, now: float, lost: float = 0.0, start: float = 0.0) -> float:
        """As every call's. Where the thread was not asked before: what another suffered meanwhile, of the `lost` seconds."""
        if self._ready is None:
            seconds = min(lost, self._probe.starved(start, now)) if lost > SHORT else 0.0
        else:
            ready = run_delay(get_native_id())
            if ready is None:
                return 0.0
            seconds = max(0.0, min(ready - self._ready, now - self._asked))
            self._ready, self._asked = ready, now
        self.starved += seconds
        return seconds
