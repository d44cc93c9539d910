"""How long calls took and what the time consisted of, for any number of calls in constant memory.

Durations fall into buckets that grow by 2.5 %, so a quantile is no further off. Each bucket also sums what its calls'
time consisted of. That is why the makeup of the slowest 1 % can be told truthfully, and not just that of all calls: a
service whose P99 is bad and whose average is fine is the common case.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

from otel_consul.semconv import LOCAL_DELAYS, PHASES

GROWTH: Final = 1.025
"""Each bucket's upper bound over its lower one."""
SHORTEST: Final = 1e-6
LONGEST: Final = 1e6
"""Seconds. What is shorter or longer counts as this."""
_LOG_GROWTH: Final = math.log(GROWTH)
ERROR: Final = GROWTH - 1
"""The greatest relative error of a quantile within these bounds."""
BUCKETS: Final = int(math.log(LONGEST / SHORTEST) / _LOG_GROWTH) + 2
"""No operation has more than these."""

WAITED_FOR: Final = ("network", "consul")
"""Who was waited for, as far as the kernel's account of the connection tells: parts of `wait`."""
PARTS: Final = PHASES + LOCAL_DELAYS + WAITED_FOR
"""What a call's time consists of: the phases, which partition it, then what overlaps them: the local delays, and `WAITED_FOR`."""
_LOCAL: Final = slice(len(PHASES), len(PHASES) + len(LOCAL_DELAYS))
_COUNT, _SECONDS, _FIRST_PART = 0, 1, 2


class Makeup:
    """What the time of some calls consisted of: the share of each part, 0 to 1."""

    __slots__ = ("shares",)

    def __init__(self, shares: Sequence[float]) -> None:
        self.shares = tuple(shares)

    @property
    def phases(self) -> dict[str, float]:
        """The share of each phase. They sum to 1, unless nothing is known."""
        return dict(zip(PHASES, self.shares, strict=False))

    @property
    def local(self) -> dict[str, float]:
        """The share lost inside this process, by cause. It overlaps the phases."""
        return dict(zip(LOCAL_DELAYS, self.shares[_LOCAL], strict=True))

    @property
    def waited_for(self) -> dict[str, float]:
        """The share of the wait that was the network's, and that which was Consul's. The rest of it could be either's."""
        return dict(zip(WAITED_FOR, self.shares[_LOCAL.stop :], strict=True))


class Latency:
    """Durations of the calls of one operation."""

    __slots__ = ("_buckets", "count", "seconds", "totals")

    def __init__(self) -> None:
        self._buckets: dict[int, array[float]] = {}
        self.count = 0
        self.seconds = 0.0
        self.totals = array("d", bytes(8 * len(PARTS)))
        """Seconds of each part, over all calls."""

    def add(self, seconds: float, parts: Sequence[float]) -> None:
        """Count one call that took `seconds`, which consisted of `parts` (seconds, in the order of `PARTS`)."""
        number = int(math.log(min(max(seconds, SHORTEST), LONGEST) / SHORTEST) / _LOG_GROWTH)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = array("d", bytes(8 * (_FIRST_PART + len(PARTS))))
        bucket[_COUNT] += 1
        bucket[_SECONDS] += seconds
        self.count += 1
        self.seconds += seconds
        for index, part in enumerate(parts):
            if part:
                bucket[_FIRST_PART + index] += part
                self.totals[index] += part

    def quantile(self, share: float) -> float:
        """The seconds within which this share of the calls ended; 0 without calls."""
        rank = math.ceil(share * self.count)
        seen = 0.0
        for number in sorted(self._buckets):
            bucket = self._buckets[number]
            seen += bucket[_COUNT]
            if seen >= rank:
                mean: float = bucket[_SECONDS] / bucket[_COUNT]
                return mean
        return 0.0

    def makeup(self) -> Makeup:
        """What the time of all calls together consisted of: the long ones weigh more."""
        return Makeup([part / self.seconds if self.seconds else 0.0 for part in self.totals])

    def tail(self, share: float = 0.01) -> Makeup:
        """What the slowest `share` of the calls (one at least) consisted of, on average: each call weighs the same.

        Of the bucket where the tail begins, the average of its calls stands for those that belong to the tail.
        """
        wanted = max(1.0, share * self.count)
        found = 0.0
        shares = [0.0] * len(PARTS)
        for number in sorted(self._buckets, reverse=True):
            bucket = self._buckets[number]
            taken = min(bucket[_COUNT], wanted - found)
            if bucket[_SECONDS]:
                for index in range(len(PARTS)):
                    shares[index] += taken * bucket[_FIRST_PART + index] / bucket[_SECONDS]
            found += taken
            if found >= wanted:
                break
        return Makeup([part / found if found else 0.0 for part in shares])

    @property
    def buckets(self) -> int:
        """Buckets in use."""
        return len(self._buckets)
