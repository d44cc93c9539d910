"""Things timed alternately, in short batches, in one process.

The machine's speed changes from moment to moment, by more than what is to be measured. So a round runs one batch of
everything, in random order, and only figures of one round are compared. Reported are the median over all rounds and
the interquartile range. Two clocks: the calling thread's CPU time (the one targets are held against: other programs
do not move it much) and the wall's.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

Clock = Callable[[], float]


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(statistics.median(values), low, high)


@dataclass
class Variant:
    """One of the things compared."""

    name: str
    run: Callable[[int], None]
    """Do it so many times."""
    within: Callable[[], AbstractContextManager[object]] = nullcontext
    """The state it is done in; entering and leaving are not timed."""
    batch: int | None = None
    """How many times in a batch, if not as many as the others."""


@dataclass
class Series:
    """Microseconds per call, one value a round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


class Figures:
    """What `measure` found. `cpu` and `wall` figures come from the same batches."""

    def __init__(self, series: dict[str, Series]) -> None:
        self.series = series

    def _values(self, name: str, clock: str) -> list[float]:
        values: list[float] = getattr(self.series[name], clock)
        return values

    def per_call(self, name: str, clock: str = "cpu") -> Spread:
        return spread(self._values(name, clock))

    def extra(self, name: str, base: str, clock: str = "cpu") -> Spread:
        """Microseconds beyond `base`."""
        return spread(self._extra(name, base, clock))

    def _extra(self, name: str, base: str, clock: str) -> list[float]:
        return [a - b for a, b in zip(self._values(name, clock), self._values(base, clock), strict=True)]

    def ratio(self, name: str, other: str, base: str | None = None, clock: str = "cpu") -> Spread:
        """`name` in units of `other`; with `base`, what each costs beyond it."""
        if base is None:
            ours, theirs = self._values(name, clock), self._values(other, clock)
        else:
            ours, theirs = self._extra(name, base, clock), self._extra(other, base, clock)
        # A batch that the machine disturbed can leave nothing, or less, to divide by.
        floor = 0.2 * statistics.median(theirs)
        return spread([a / b for a, b in zip(ours, theirs, strict=True) if b > floor > 0] or [float("nan")])


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int = 25
    batch: int = 250
    quick: bool = False
    long: bool = False


QUICK = Effort(rounds=7, batch=120, quick=True)


def measure(
    variants: Sequence[Variant], rounds: int, batch: int, *, cpu: Clock = time.thread_time, warm_up: int = 20
) -> Figures:
    """Time all of them, alternately."""
    series = {variant.name: Series() for variant in variants}
    order = list(variants)
    shuffle = random.Random(1).shuffle
    gc.collect()
    gc.freeze()  # what was made before is not what a collection during a call should look at
    try:
        for number in range(rounds + 1):
            shuffle(order)
            for variant in order:
                times = variant.batch or batch
                with variant.within():
                    variant.run(min(warm_up, times))
                    wall, used = time.perf_counter(), cpu()
                    variant.run(times)
                    used, wall = cpu() - used, time.perf_counter() - wall
                if number:  # the first round warms up
                    series[variant.name].cpu.append(used / times * 1e6)
                    series[variant.name].wall.append(wall / times * 1e6)
    finally:
        gc.unfreeze()
    return Figures(series)


def repeat(call: Callable[[], object]) -> Callable[[int], None]:
    """Call it so many times."""

    def run(times: int) -> None:
        for _ in range(times):
            call()

    return run


@contextmanager
def nothing() -> Iterator[None]:
    """No state."""
    yield
