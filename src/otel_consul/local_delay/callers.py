"""The processor time that threads with calls have had, read by the background thread.

Reading a thread's clock is a system call, and what it does to the processor's caches costs a short call more than all
its other measurements. So a call takes the reading that the background thread made a moment ago. It is never newer
than the call, so that the call is charged with too much processor time rather than too little.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from otel_consul.background.clock import perf_counter
from otel_consul.background.os_threads import get_native_id

AVAILABLE: Final = sys.platform == "linux" and hasattr(time, "clock_gettime") and hasattr(time, "thread_time")
"""Whether one thread can read another's clock, and ask for a thread that has ended without harm."""
thread_time: Final[Callable[[], float]] = getattr(time, "thread_time", perf_counter)
"""Seconds of processor time the running thread has had. Where that is not known, as if it had always had one: then nothing
is blamed on its having had none."""
_MOST: Final = 256
"""Threads whose clocks are kept: a wake-up of the background thread must stay short."""
_SCHEDULED: Final = 6
"""Linux: the clock of a thread, as its scheduler counts (CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED)."""


class CallerClocks:
    """The last readings of the threads that make calls."""

    def __init__(self) -> None:
        self.latest: dict[int, float] = {}
        """By the thread's number, seconds."""
        self._native: dict[int, int | None] = {}
        """The kernel's numbers of the same threads."""

    def read(self, ident: int) -> float:
        """The running thread's clock, where no reading was found in `latest`; there will be one for the next call."""
        seconds = thread_time()
        if AVAILABLE and len(self.latest) < _MOST:
            self._native[ident] = get_native_id()
            self.latest[ident] = seconds
        return seconds

    def refresh(self) -> None:
        """Read the clocks anew. Those that stood still since the last time are forgotten."""
        latest = self.latest
        if not latest:
            return
        for ident, before in list(latest.items()):
            now = _clock(self._native.get(ident))
            if now is None or now == before:
                latest.pop(ident, None)
                self._native.pop(ident, None)
            else:
                latest[ident] = now

    def forget(self) -> None:
        """Nobody will refresh them for a while."""
        self.latest.clear()
        self._native.clear()


def _clock(native: int | None) -> float | None:
    if native is None:
        return None
    try:
        return time.clock_gettime((~native << 3) | _SCHEDULED)
    except OSError:  # it has ended
        return None
