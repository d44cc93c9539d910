"""What a process can do to its own calls: block the loop, collect garbage, hold the GIL."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.attribution.scenarios import Disturbance

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
    while min(_timed(gc.collect) for _ in range(2)) < seconds:
        _junk.append([[] for _ in range(100_000)])
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
    "hold_gil": hold_gil,
}


@contextmanager
def disturbed(disturbances: tuple[Disturbance, ...]) -> Iterator[None]:
    """They happen while the block runs; those of the loop need one running here."""
    threads: list[threading.Thread] = []
    stop = threading.Event()
    for one in disturbances:
        if one.kind in ("busy_loop", "sleeping_loop", "collect_in_loop"):
            asyncio.get_running_loop().call_later(one.at, _WORK[one.kind], one.seconds)
        elif one.kind == "python_hog":
            threads.append(threading.Thread(target=_hog, args=(stop,)))
        else:
            threads.append(threading.Timer(one.at, _WORK[one.kind], (one.seconds,)))
    for thread in threads:
        thread.start()
    if any(one.kind == "python_hog" for one in disturbances):
        time.sleep(0.05)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _hog(stop: threading.Event) -> None:
    flag = stop.is_set
    while not flag():
        for _ in range(1000):
            pass
