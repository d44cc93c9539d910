"""The garbage collector's pauses: exact, from the collector's own signals.

A collection stops every thread of the process (it holds the GIL throughout), so a pause overlaps every open call.
What it cannot say: whether the call would have been served meanwhile, or would only have waited for Consul.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from otel_consul.background.clock import perf_counter
from otel_consul.background.os_threads import get_ident
from otel_consul.local_delay.callers import thread_time

NOTABLE: Final = 0.001
"""Seconds from which on a single pause is remembered, to be subtracted from what others claim."""


class _Pause(NamedTuple):
    """One of them: when it began and ended (`perf_counter` seconds), in which thread, and for how long that had no processor."""

    began: float
    ended: float
    thread: int
    starved: float


class Pauses:
    """Seconds the collector has held this process up, from `start` to `stop`."""

    def __init__(self) -> None:
        self.total = 0.0
        """All pauses that are over, even the shortest."""
        self.began = 0.0
        """When the one began whose end is still to be noted, `perf_counter` seconds; 0 for none."""
        self.alert = False
        """Whether the machine keeps threads from running: then a pause is asked how much of it the collector had."""
        self._recent: deque[_Pause] = deque(maxlen=64)
        self._thread = 0
        self._cpu: float | None = None
        """What its thread had computed when the running pause began."""
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
            pauses.append(_Pause(self.began, end, self._thread, 0.0))
        for began, ended, thread, _ in pauses:
            if ended > start and began < end and thread != but_by:
                seconds += min(ended, end) - max(began, start)
        return seconds

    def starved(self, start: float, end: float, *, but_by: int) -> tuple[float, float]:
        """Seconds of those pauses in which the collector had no processor: of all, and of those not in thread `but_by`."""
        found = [
            (min(pause.starved, min(pause.ended, end) - max(pause.began, start)), pause.thread)
            for pause in list(self._recent)
            if pause.starved and pause.ended > start and pause.began < end
        ]
        return sum(seconds for seconds, _ in found), sum(seconds for seconds, thread in found if thread != but_by)

    def _watch(self) -> Callable[[str, Mapping[str, Any]], None]:
        # Runs inside the collector: no lock, no metric, no log; and its names must outlive the modules' at exit.
        clock, ident, recent, notable, pause, cpu_time = (
            perf_counter,
            get_ident,
            self._recent,
            NOTABLE,
            _Pause,
            thread_time,
        )

        def callback(phase: str, info: Mapping[str, Any]) -> None:
            if phase == "start":
                self._thread = ident()
                self._cpu = cpu_time() if self.alert else None
                self.began = clock()
            elif self.began:
                began, ended = self.began, clock()
                self.total += ended - began
                self.began = 0.0
                if ended - began >= notable:
                    # The thread that collects holds the GIL throughout: what it did not compute it had no processor for.
                    starved = 0.0 if self._cpu is None else max(0.0, ended - began - (cpu_time() - self._cpu))
                    recent.append(pause(began, ended, ident(), starved))

        return callback
