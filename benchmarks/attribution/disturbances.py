"""What a process can do to its own calls: block the loop, collect garbage, hold the GIL."""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.attribution.scenarios import Disturbance, Scenario
from otel_consul import open_calls

_LOOK_EVERY = 0.001
_PIECE = 100_000
_junk: list[Any] = []


def busy(seconds: float) -> None:
    """Compute."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def hold_gil(seconds: float) -> None:
    """One long step in C: nobody else gets the GIL."""
    sum(range(int(_per_second() * seconds)))


@functools.cache
def _per_second() -> float:
    return max(2_000_000 / _timed(lambda: sum(range(2_000_000))) for _ in range(5))


collected: list[float] = []
"""What each `collect` took."""


def collect() -> None:
    """One long pause of the collector; `grow_junk` has seen to that."""
    collected.append(_timed(gc.collect))


def grow_junk(seconds: float) -> None:
    """Make a full collection take about so long."""
    gc.disable()
    while (took := min(_timed(gc.collect) for _ in range(2))) < seconds:
        # What is missing, by what there is: one at a time, most of the time would go into collecting.
        more = max(1, int(len(_junk) * (seconds / took - 1)))
        _junk.extend([[] for _ in range(_PIECE)] for _ in range(more))
    gc.enable()


def drop_junk() -> None:
    """Undo `grow_junk`."""
    _junk.clear()
    gc.collect()


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


_WORK: dict[str, Callable[[float], None]] = {
    "busy_loop": busy,
    "sleeping_loop": time.sleep,
    "collect_in_loop": lambda _: collect(),
    "collect_in_thread": lambda _: collect(),
    "collect_in_caller": lambda _: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1),
    "hold_gil": hold_gil,
}
_OF_THE_LOOP = ("busy_loop", "sleeping_loop", "collect_in_loop")


@contextmanager
def disturbed(scenario: Scenario) -> Iterator[None]:
    """Its disturbances happen to the one call in the block; those of the loop need one running here."""
    threads: list[threading.Thread] = []
    stop = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: collect())  # runs in the main thread, which calls
    if any(one.kind == "hold_gil" for one in scenario.disturbances):
        _per_second()  # or it would be found out while the call is open, and the GIL held for that as well
    for one in scenario.disturbances:
        moment = _Moment(one, scenario.operation[0], stop)
        if one.kind == "python_hog":
            threads.append(threading.Thread(target=_hog, args=(stop,)))
        elif one.kind in _OF_THE_LOOP:
            asyncio.get_running_loop().call_soon(moment.look_in_loop)
        else:
            threads.append(threading.Thread(target=moment.look_in_thread))
    for thread in threads:
        thread.start()
    if any(one.kind == "python_hog" for one in scenario.disturbances):
        time.sleep(0.05)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        signal.signal(signal.SIGUSR1, before)


class _Moment:
    """Waits until the call has got to the phase that is to be disturbed.

    A time since the call's start would not do: on a loaded machine the request may still have to be sent by then.
    """

    def __init__(self, disturbance: Disturbance, operation: str, stop: threading.Event) -> None:
        self._what = disturbance
        self._operation = operation
        self._stop = stop
        self._end = 0.0

    def look_in_loop(self) -> None:
        """In every turn of the loop, for a phase may last but one."""
        loop = asyncio.get_running_loop()
        if self._has_come():
            loop.call_later(self._what.at, self._act)
        elif not self._stop.is_set():
            loop.call_soon(self.look_in_loop)

    def look_in_thread(self) -> None:
        while not self._has_come():
            if self._stop.wait(_LOOK_EVERY):
                return
        if not self._stop.wait(self._what.at):
            self._act()

    def _has_come(self) -> bool:
        if not any(one.operation == self._operation and one.phase == self._what.phase for one in open_calls()):
            return False
        self._end = time.perf_counter() + self._what.at + self._what.seconds
        return True

    def _act(self) -> None:
        # Begun late, it ends none the later: what is expected depends on the end.
        _WORK[self._what.kind](max(0.0, self._end - time.perf_counter()))


def _hog(stop: threading.Event) -> None:
    flag = stop.is_set
    while not flag():
        for _ in range(1000):
            pass
