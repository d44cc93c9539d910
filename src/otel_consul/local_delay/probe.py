"""Whether another thread of this process could run meanwhile, and whether the machine let it.

This tells a blocked thread from one that was kept out.

While event loops with open calls are watched, the package's background thread wakes up every few milliseconds and notes by
how much it was late. It needs what every thread needs, the GIL and a processor. So a thread that stood still for half
a second, while this one was never late by more than a moment, was not kept from running: it was blocked or busy itself.

When it was late it asks the kernel (`scheduler`) how much of that it was ready to run: the rest was the GIL. To know
what a late wake-up added, it needs a reading from before; how late the others were is known, so an old reading does as
long as they add up to next to nothing. Once the machine has kept this thread from running, the others' own numbers are
read for a while: `alert`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple, Protocol, TypeAlias

from otel_consul.background.os_threads import get_native_id
from otel_consul.local_delay import scheduler
from otel_consul.local_delay.callers import CallerClocks
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.scheduler import CpuLimit, run_delay

Job: TypeAlias = Callable[[float], "float | None"]
PERIOD: Final = 0.025
SLOW_PERIOD: Final = 0.1
"""While only long calls are open."""
LINGER: Final = 1.0
"""Seconds it goes on for after a call that keeps a thread waiting has begun."""
_NOTABLE: Final = 0.001
"""Seconds of lateness that any timer may have."""
_STARVED: Final = 0.002
"""Seconds without a processor, in one wake-up, from which on threads are asked one by one."""
_ALERT: Final = 5.0
"""Seconds for which they are."""
_FOUND: Final = 10.0
_FOUND_IN_ALERT: Final = 0.5
"""Seconds after which the control group's limit is looked for again, which takes a fraction of a millisecond."""


class _Late(NamedTuple):
    """One late wake-up: when it was due, when it came (`perf_counter` seconds), and the part of that without a processor."""

    due: float
    woke: float
    starved: float


class Sleeper(Protocol):
    """What is needed of `background.Background`. Times are `perf_counter` seconds."""

    due: float
    """When the thread meant to wake up; infinite if it waits for a nudge."""
    woke: float
    """When it did wake up, last."""


class Probe:
    """How late the background thread was, lately. A job for it."""

    alert = False
    """Whether the machine has kept threads from running lately: then each is asked what it has lost."""

    def __init__(
        self, sleeper: Sleeper, watching: Callable[[], bool | None], clocks: CallerClocks, pauses: Pauses
    ) -> None:
        self.wanted = False
        """Set by calls that keep a thread waiting."""
        self._wanted_at = -inf
        self._sleeper = sleeper
        self._watching: Callable[[], bool | None] = watching
        """Whether new calls are watched; None if no call is."""
        self._readings_open = False
        """Whether files of other threads may be open."""
        self._clocks = clocks
        self._pauses = pauses
        self._seen = 0.0
        self._late: deque[_Late] = deque(maxlen=128)
        self._limit: CpuLimit | None = None
        self._limit_found = -inf
        self._reset_readings()

    def _reset_readings(self) -> None:
        self._ready: float | None = None
        """What the kernel said last of this thread."""
        self._native: int | None = None
        self._since = inf
        """By how much it has been late since then, in all: what that reading is too old by. Infinite without one."""
        self._alert_until = -inf
        self._throttled: deque[tuple[float, float]] = deque(maxlen=512)
        """When, and what the limit had cost the group by then."""
        self._see_whether_alert(0.0)

    def __call__(self, now: float) -> float | None:
        """Note the lateness of this wake-up."""
        due, woke = self._sleeper.due, self._sleeper.woke
        if woke != self._seen:
            self._seen = woke
            self._noted(due, woke, now)
        if self.wanted:
            self.wanted = False
            self._wanted_at = now
        if now - self._wanted_at < LINGER:
            self._clocks.refresh()
            return PERIOD
        self._clocks.forget()
        hurried = self._watching()
        if hurried is None:
            self._ready, self._since = None, inf  # it will be too old
            scheduler.close()
            return None
        return PERIOD if hurried else SLOW_PERIOD

    def _noted(self, due: float, woke: float, now: float) -> None:
        seconds = max(0.0, woke - due)
        if seconds <= _NOTABLE:
            self._since += seconds
            if (self._since > _NOTABLE or self.alert) and scheduler.AVAILABLE:
                self._read(now)
            return
        # Known at once: the reading lets go of the GIL, and who gets it asks what this thread has suffered.
        self._late.append(_Late(due, woke, 0.0))
        late = self._late[-1] = _Late(due, woke, self._starved(seconds, now))
        if late.starved > _STARVED:
            self._alert_until = late.woke + _ALERT
        self._see_whether_alert(late.woke)

    def _see_whether_alert(self, now: float) -> None:
        self.alert = self._pauses.alert = now < self._alert_until
        self._readings_open = self._readings_open or self.alert

    def _starved(self, late: float, now: float) -> float:
        """How much of this wake-up's lateness was for want of a processor, at the least."""
        before, since = self._ready, self._since
        self._read(now)
        if self._ready is None or before is None:
            return 0.0
        return max(0.0, min(late, self._ready - before - since))

    def _read(self, now: float) -> None:
        self._native = get_native_id()
        self._ready = run_delay(self._native)
        if self._ready is None:
            return
        self._since = 0.0
        self._see_whether_alert(now)
        if not self.alert and self._readings_open:
            self._readings_open = False
            scheduler.close()
        if now - self._limit_found > (_FOUND_IN_ALERT if self.alert else _FOUND):
            self._limit_found = now
            if self._limit is None:
                self._limit = CpuLimit()
            elif self._limit.find():
                self._throttled.clear()  # those were another group's
        throttled = self._limit.throttled() if self._limit is not None else None
        if throttled is not None:
            self._throttled.append((now, throttled))

    def worst(self, start: float, now: float, *, starved: bool = True) -> float:
        """The longest time the thread was kept from running that touches `start` to `now`, or just before.

        `starved` false: only what it was not for want of a processor.
        """
        # A short stretch may fall between two wake-ups: what was true one moment ago counts.
        start -= 2 * PERIOD
        worst = 0.0
        for late in reversed(self._late.copy()):
            if late.woke < start:
                break
            if late.due < now:
                worst = max(worst, late.woke - late.due - (0.0 if starved else late.starved))
        due = self._sleeper.due
        if self._sleeper.woke < due < now - _NOTABLE:  # it still waits
            worst = max(worst, now - due)
        return worst

    def starved(self, start: float, now: float) -> float:
        """Seconds between `start` and `now` for which the thread had no processor: for who has no reading of his own."""
        seconds = 0.0
        for late in reversed(self._late.copy()):
            if late.woke < start:
                break
            seconds += max(0.0, min(late.starved, min(late.woke, now) - max(late.due, start)))
        due = self._sleeper.due
        if self._ready is not None and self._sleeper.woke < due < now - _NOTABLE:  # it still waits
            ready = run_delay(self._native)
            if ready is not None:
                seconds += max(0.0, min(ready - self._ready - self._since, now - max(due, start)))
        return seconds

    def throttled(self, start: float) -> float | None:
        """Seconds that the CPU limit has cost the group from `start` until now, at the most; None if that is not known."""
        after = self._limit.throttled() if self._limit is not None else None
        if after is None:
            return None
        before: float | None = None
        for when, seconds in reversed(self._throttled.copy()):
            before = seconds
            if when <= start:
                break
        # It can only grow, but for a process that has been moved to another group.
        return None if before is None else max(0.0, after - before)

    def reset(self) -> None:
        """Forget everything: in a forked child."""
        self._late.clear()
        self._clocks.forget()
        self._seen = -inf
        self._limit = None
        self._limit_found = -inf
        scheduler.close()
        self._reset_readings()
