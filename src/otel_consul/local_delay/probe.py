"""Whether another thread of this process could run meanwhile: what tells a blocked thread from one that was kept out.

While event loops with open calls are watched, the package's background thread wakes up every few milliseconds and notes by
how much it was late. It needs what every thread needs, the GIL and a processor. So a thread that stood still for half
a second, while this one was never late by more than a moment, was not kept from running: it was blocked or busy itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Protocol, TypeAlias

from otel_consul.local_delay.callers import CallerClocks

Job: TypeAlias = Callable[[float], "float | None"]
PERIOD: Final = 0.025
SLOW_PERIOD: Final = 0.1
"""While only long calls are open."""
LINGER: Final = 1.0
"""Seconds it goes on for after a call that keeps a thread waiting has begun."""
_NOTABLE: Final = 0.001
"""Seconds of lateness that any timer may have."""


class Sleeper(Protocol):
    """What is needed of `background.Background`. Times are `perf_counter` seconds."""

    due: float
    """When the thread meant to wake up; infinite if it waits for a nudge."""
    woke: float
    """When it did wake up, last."""


class Probe:
    """How late the background thread was, lately. A job for it."""

    def __init__(self, sleeper: Sleeper, watching: Callable[[], bool | None], clocks: CallerClocks) -> None:
        self.wanted = False
        """Set by calls that keep a thread waiting."""
        self._wanted_at = -inf
        self._sleeper = sleeper
        self._watching: Callable[[], bool | None] = watching
        """Whether new calls are watched; None if no call is."""
        self._clocks = clocks
        self._seen = 0.0
        self._late: deque[tuple[float, float]] = deque(maxlen=128)

    def __call__(self, now: float) -> float | None:
        """Note the lateness of this wake-up."""
        due, woke = self._sleeper.due, self._sleeper.woke
        if woke != self._seen:
            self._seen = woke
            if woke - due > _NOTABLE:
                self._late.append((due, woke))
        if self.wanted:
            self.wanted = False
            self._wanted_at = now
        if now - self._wanted_at < LINGER:
            self._clocks.refresh()
            return PERIOD
        self._clocks.forget()
        hurried = self._watching()
        return None if hurried is None else PERIOD if hurried else SLOW_PERIOD

    def worst(self, start: float, now: float) -> float:
        """The longest time the thread was kept from running that touches `start` to `now`, or just before."""
        # A short stretch may fall between two wake-ups: what was true one moment ago counts.
        start -= 2 * PERIOD
        worst = 0.0
        for due, woke in reversed(self._late.copy()):
            if woke < start:
                break
            if due < now:
                worst = max(worst, woke - due)
        due = self._sleeper.due
        if self._sleeper.woke < due < now - _NOTABLE:  # it still waits
            worst = max(worst, now - due)
        return worst

    def reset(self) -> None:
        """Forget everything: in a forked child."""
        self._late.clear()
        self._clocks.forget()
        self._seen = -inf
