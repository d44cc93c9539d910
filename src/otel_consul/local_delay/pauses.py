"""The garbage collector's pauses: exact, from the collector's own signals.

A collection stops every thread of the process (it holds the GIL throughout), so a pause overlaps every open call.
What it cannot say: whether the call would have been served meanwhile, or would only have waited for Consul.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from otel_consul.background.os_threads import get_ident
from otel_consul.clock import perf_counter

NOTABLE: Final = 0.001
"""Seconds from which on a single pause is remembered, to be subtracted from what others claim."""


class Pauses:
    """Seconds the collector has held this process up, from `start` to `stop`."""

    def __init__(self) -> None:
        self.total = 0.0
        """All pauses that are over, even the shortest."""
        self.began = 0.0
        """When the one began whose end is still to be noted, `perf_counter` seconds; 0 for none."""
        self._recent: deque[tuple[float, float, int]] = deque(maxlen=64)
        self._thread = 0
        self._callback: Callable[[str, Mapping[str, Any]], None] = self._watch()

    def start(self) -> None:
        """Count from now on."""
        if hasattr(gc, "callbacks"):  # PyPy has none
            gc.callbacks.append(self._callback)

    def stop(self) -> None:
        """Count no more."""
        with suppress(ValueError, AttributeError):  # somebody has emptied the list, or there is none
            gc.callbacks.remove(self._callback)

    def until(self, now: float) -> float:
        """All pauses so far. One whose end is not noted is over, or we would not run: its thread waits for the GIL."""
        began = self.began
        return self.total + max(0.0, now - began) if began else self.total

    def within(self, start: float, end: float, *, but_by: int | None = None) -> float:
        """Seconds of notable pauses between two `perf_counter` readings; not those in thread `but_by`, if given."""
        seconds = 0.0
        pauses = list(self._recent)
        if self.began:
            pauses.append((self.began, end, self._thread))
        for began, ended, thread in pauses:
            if ended > start and began < end and thread != but_by:
                seconds += min(ended, end) - max(began, start)
        return seconds

    def _watch(self) -> Callable[[str, Mapping[str, Any]], None]:
        # Runs inside the collector: no lock, no metric, no log; and its names must outlive the modules' at exit.
        clock, ident, recent, notable = perf_counter, get_ident, self._recent, NOTABLE

        def callback(phase: str, info: Mapping[str, Any]) -> None:
            if phase == "start":
                self._thread = ident()
                self.began = clock()
            elif self.began:
                began, ended = self.began, clock()
                self.total += ended - began
                self.began = 0.0
                if ended - began >= notable:
                    recent.append((began, ended, ident()))

        return callback
