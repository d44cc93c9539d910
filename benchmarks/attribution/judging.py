"""Compares what calls were given with the truth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from benchmarks.attribution import disturbances
from benchmarks.attribution.scenarios import Scenario, Style
from benchmarks.attribution.stage import CAUSES, Reading

_HOLD: Final = 17 / 16
"""Consul may hold a blocking query a sixteenth longer than asked."""


@dataclass(frozen=True)
class Result:
    """One scenario by one client."""

    scenario: Scenario
    style: Style
    expected: dict[str, float]
    given: dict[str, float]
    found: float
    """Share found of what was to be found; NaN where nothing was injected."""
    wrong: float
    """Share of the injected delay given where it does not belong."""

    @property
    def met(self) -> bool:
        return (math.isnan(self.found) or self.found >= self.scenario.right) and self.wrong <= self.scenario.wrong


def judge(scenario: Scenario, style: Style, readings: tuple[list[Reading], ...]) -> Result:
    """Compare what calls were given with the truth."""
    disturbed, faulty, plain = readings
    cost = _median(disturbed, _duration) - _median(plain, _duration)
    own_cost = _median(disturbed, _duration) - _median(faulty, _duration)
    expected: dict[str, float] = {}
    for key, seconds in scenario.expected.items():
        if key == "gc":
            expected[key] = statistics.median(disturbances.collected)
        elif not math.isnan(seconds):
            expected[key] = seconds
        elif key == "decode":
            expected[key] = _median(disturbed, lambda reading: reading.decoding)
        elif key == "late":
            expected[key] = _median(disturbed, _duration) - float(scenario.operation[2]["wait"][:-1]) * _HOLD
        else:
            expected[key] = own_cost if key in CAUSES else cost
    keys = {key for reading in disturbed for key in reading.given} | set(expected)
    given = {key: _median(disturbed, _given(key)) - _median(plain, _given(key)) for key in keys - scenario.ignored}
    return Result(scenario, style, expected, given, *_shares(expected, given, max(expected.values())))


def _shares(expected: dict[str, float], given: dict[str, float], injected: float) -> tuple[float, float]:
    found = min((given[key] / seconds for key, seconds in expected.items() if seconds), default=math.nan)
    wrong = max((given[key] - expected.get(key, 0.0)) / injected for key in given)
    return found, max(wrong, 0.0)


def _duration(reading: Reading) -> float:
    return reading.duration


def _given(key: str) -> Callable[[Reading], float]:
    return lambda reading: reading.given.get(key, 0.0)


def _median(readings: Iterable[Reading], value: Callable[[Reading], float]) -> float:
    return statistics.median(map(value, readings))
