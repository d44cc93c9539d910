"""Event loops that have calls open: when each was busy or blocked, and why.

A heartbeat runs in the loop every few milliseconds. A loop that is free runs it in time; one that is busy runs it late, by as
much. Once late, the heartbeat runs in every turn of the loop until one is quick again: so a stretch of slow turns is
measured as a whole. asyncio handles what sockets have to say before timers that are due, so whoever asks is told about
a heartbeat that is overdue as well.

What it cannot prove: that a call was ready to go on while the loop was blocked. The sockets know that (`sockets`).
Its start is known to a heartbeat's period only: a stretch is given up to that much too short, never too long.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from contextvars import Context
from math import inf
from typing import Any, Final, NamedTuple

from otel_consul.background.clock import perf_counter
from otel_consul.background.os_threads import get_ident, get_native_id
from otel_consul.local_delay.callers import thread_time
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.probe import Probe
from otel_consul.local_delay.scheduler import run_delay
from otel_consul.local_delay.sockets import TICK

PERIOD: Final = 0.025
SLOW_PERIOD: Final = 0.1
"""When no call has begun for a while: those open are long ones, and the sockets will tell about them."""
NEW: Final = 2.0
"""Seconds for which a call is new."""
SLACK: Final = 0.004
"""Seconds a timer may be late for no reason worth a name: loops round up to a millisecond, so do kernels."""
LINGER: Final = 1.0
"""Seconds the heartbeat goes on after the last call."""
_JUST_NOW: Final = 0.005
_MORE_TURNS: Final = 2
_GIL_TURN: Final = 0.01
"""From the arrival of data to the step of the task that waits for it a loop makes some three turns, and each needs the
GIL. One may be as late as the background thread was, but not each of them."""
_PERIOD: Final = 0.1
"""Seconds in which a CPU limit lets threads run for a while."""
_BUSY_SHARE: Final = 0.1
"""A thread that computed for this share of a stretch was at something of its own, however slowly it got on."""
_BEATS: Final = 512
"""Heartbeats remembered: more than ten seconds of them, and of what calls note while there is doubt."""
_CLOSE: Final = 0.002
"""Seconds between two readings that calls note."""
_DOUBT: Final = 1.0
"""Seconds for which a doubt lasts: calls note readings meanwhile, each a system call."""
_OWN: Final = 0.001
"""Processor time the call itself may have had."""


class Split(NamedTuple):
    """Who had the seconds in which the loop's thread did not get to a call."""

    event_loop: float
    gil: float
    starved: float
    """It was ready to run, and had no processor."""


class _Beat(NamedTuple):
    """A heartbeat: when, and what the kernel said of the loop's thread."""

    when: float
    cpu: float
    """Its processor time, seconds."""
    ready: float | None
    """Seconds for which it was ready without running; None where nobody asked."""


class LoopWatch:
    """One loop. Everything but `split` and `busy_since` runs on the loop's own thread."""

    def __init__(self, loop: weakref.ref[Any], pauses: Pauses, probe: Probe, waking: Callable[[], None]) -> None:
        self.loop = loop
        self._pauses = pauses
        self._probe = probe
        self._waking: Callable[[], None] = waking
        self.calls: set[Any] = set()
        """The calls open on this loop."""
        self.thread = get_ident()
        self.stopped = False
        self._due = inf
        self._number = 0
        """Of the heartbeat that is due; one that has been replaced by an earlier one does nothing."""
        self._new = False
        """Whether a call has begun since the last heartbeat."""
        self._new_until = -inf
        self._slow = False
        self._busy_since: float | None = None
        """Since when turn after turn has been slow."""
        self._last_busy = (0.0, 0.0)
        self._beats: deque[_Beat] = deque(maxlen=_BEATS)
        """Recent heartbeats."""
        self._native: int | None = None
        self.doubtful_until = 0.0
        """Until then calls `note`, because the heartbeats were too far apart to tell who had the processor."""
        self._first = 0.0
        """That of the very first one since the loop began to be watched."""
        self._idle_since = inf

    @property
    def beating(self) -> bool:
        """Whether a heartbeat is due."""
        return self._due != inf

    @property
    def hurried(self) -> bool:
        """Whether the heartbeat is as quick as can be."""
        return self._due != inf and not self._slow

    def open(self, call: Any) -> None:
        """A call starts, in the loop."""
        self.calls.add(call)
        self._new = True
        if self._due == inf or self._slow:
            self._start()

    def _start(self) -> None:
        loop = self.loop()
        if loop is None or self.stopped:
            return
        now = perf_counter()
        self.thread = get_ident()
        self._idle_since = inf
        if self._due == inf or now - self._due < SLACK:  # else it is overdue, and the beat will say so
            cpu = thread_time()
            if self._due == inf:
                self._first = cpu
            self._native = get_native_id()
            self._beats.append(_Beat(now, cpu, self._ready_time()))
            self._slow = False
            self._next(loop, now)
        self._waking()

    def _next(self, loop: Any, now: float) -> None:
        if self._new:
            self._new = False
            self._new_until = now + NEW
        self._slow = now > self._new_until
        period = SLOW_PERIOD if self._slow else PERIOD
        self._due = now + period
        self._number += 1
        loop.call_later(period, self._beat, self._number, context=Context())

    def _beat(self, number: int) -> None:
        if number != self._number:
            return
        now = perf_counter()
        late = now - self._due
        loop = self.loop()
        if loop is None or self.stopped or self._idle(now):
            self._due = inf
            self._busy_since = None
            return
        beats = self._beats
        if now - beats[-1][0] > PERIOD / 2:
            beats.append(_Beat(now, thread_time(), self._ready_time()))
        if late > SLACK:
            if self._busy_since is None:
                self._busy_since = self._due
            self._due = now
            loop.call_soon(self._beat, number, context=Context())
            return
        if self._busy_since is not None:
            self._last_busy = (self._busy_since, self._due)
            self._busy_since = None
        self._next(loop, now)

    def _idle(self, now: float) -> bool:
        if self.calls:
            self._idle_since = inf
            return False
        if self._idle_since == inf:
            self._idle_since = now
        return now - self._idle_since > LINGER

    def note(self, now: float) -> None:
        """As a heartbeat does, for what begins now."""
        if now - self._beats[-1].when > _CLOSE:
            self._beats.append(_Beat(now, thread_time(), self._ready_time()))

    def _ready_time(self) -> float | None:
        return run_delay(self._native) if self._probe.alert else None

    def starved(self, start: float, now: float) -> float:
        """Seconds from `start` to now for which the loop's thread was ready to run and had no processor."""
        before = self._beat_before(start).ready
        ready = None if before is None else self._ready_time()
        if before is None or ready is None:
            return self._probe.starved(start, now)
        if now - self._beats[-1].when > _CLOSE:
            self._beats.append(_Beat(now, thread_time(), ready))
        return max(0.0, min(ready - before, now - start))

    def busy_since(self, now: float) -> float | None:
        """When the stretch of slow turns began that lasts until now, or did a moment ago."""
        if self._busy_since is not None:
            return self._busy_since
        if now - self._due > SLACK:
            return self._due
        start, end = self._last_busy
        return start if now - end < _JUST_NOW else None

    def split(self, start: float, now: float) -> Split:
        """What kept the loop's thread from a call between `start` and now. Runs on that thread.

        It was ready to run and had no processor: the machine. It had the processor: the loop was busy. It had not, and other threads of this process could run: the loop was
        blocked. It had not, and another thread was kept from running as well: the GIL, or a starved machine; as much as
        that thread was kept, and no more. The collector's pauses are nobody else's. Its processor time is known since
        the last heartbeat before `start` only; what may be either's for that is neither's.
        """
        gil = unknown = 0.0
        # When an answer came is known to a tick of the kernel: half of one on average.
        starved = self.starved(start - TICK / 2, now)
        lost = max(0.0, now - start - starved)
        paused = min(lost, self._pauses.within(start, now))
        idle = (lost + starved) * _BUSY_SHARE + paused + _OWN
        beat, before, _ = self._beat_before(start)
        had = thread_time() - before
        if had - (start - beat) < idle:
            worst = self._probe.worst(start, now, starved=False)
            whole = self._probe.worst(start, now)
            if worst > _GIL_TURN or whole > max(_PERIOD, (now - start) / 2):
                # It was held: a thread that merely starves runs in every period. What one starved, the other waited for it.
                worst = whole
            others = max(0.0, min(lost, worst + _MORE_TURNS * min(worst, _GIL_TURN)) - paused)
            if had < idle:
                gil = others
                rest = lost - gil - paused
                if 0 < rest < min(gil, _GIL_TURN):  # as likely one turn more
                    unknown = rest
            else:
                unknown = others
                self.doubtful_until = now + _DOUBT
        return Split(max(0.0, lost - gil - unknown - paused), gil, starved)

    def _beat_before(self, when: float) -> _Beat:
        """The last heartbeat before `when`, and the thread's processor time at it."""
        for beat in reversed(self._beats):
            if beat.when <= when:
                return beat
        return _Beat(when if len(self._beats) < _BEATS else -inf, self._first, None)
