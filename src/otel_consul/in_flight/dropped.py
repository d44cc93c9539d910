"""Calls whose caller has let go of them: a future or a coroutine that went to the garbage.

Python finds garbage whenever it makes an object, so also in the middle of the SDK's work, under its locks. Ending a
call there would ask for the same locks again and wait for ever. So it is only noted there, and ended by the background
thread.
"""

from __future__ import annotations

from collections import deque

from otel_consul import guard
from otel_consul.background.thread import Background
from otel_consul.in_flight.registry import Call


class Dropped:
    """The calls that are still to be ended, none of them open any more. Nothing here waits for a lock."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._calls: deque[tuple[Call, float]] = deque()
        self._at_work = False

    def add(self, call: Call, elapsed: float) -> None:
        """Have `call` ended, which ran for `elapsed` seconds."""
        self._calls.append((call, elapsed))
        if not self._at_work:  # a program that drops none needs no thread for it
            self._at_work = True
            self._background.add(self._end, first=True)
        self._background.hurry()

    def clear(self) -> None:
        """Forget them."""
        self._calls.clear()

    def end_all(self) -> None:
        """End them now."""
        while self._calls:
            try:
                call, elapsed = self._calls.popleft()
            except IndexError:  # another thread is at it
                return
            try:
                call.finish_dropped(elapsed)
            except Exception:  # noqa: BLE001
                guard.fault("ending a dropped call")

    def _end(self, now: float) -> None:
        self.end_all()
