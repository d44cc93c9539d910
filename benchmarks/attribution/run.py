"""Run the suite: `python -m benchmarks.attribution.run [--repeats 5] [--only WORD] [--markdown] [--no-consul]`.

Each figure is the median over the repeats of what a call was given, less the median of the same call undisturbed.
`found` is the worst of what was to be found, `wrong` the worst of what was given elsewhere or too much, both as shares
of the injected delay. Ends with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.attribution import calls, clusters, disturbances, printing
from benchmarks.attribution.scenarios import SCENARIOS, SMALL_READ, Scenario, Style
from benchmarks.attribution.stage import CAUSES, Reading, Stage, slow_names
from testbed.debian import Unavailable

_CALL: Final[dict[Style, Callable[..., Reading]]] = {"sync": calls.sync, "asyncio": calls.by_asyncio}
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


def measure(scenario: Scenario, style: Style, stage: Stage, repeats: int) -> Result:
    """Run one scenario by one client."""
    if any(one.kind.startswith("collect") for one in scenario.disturbances):
        disturbances.grow_junk(next(one.seconds for one in scenario.disturbances))
    disturbances.collected.clear()
    try:
        disturbed, faulty, plain = _readings(scenario, style, stage, scenario.repeats or repeats)
    finally:
        disturbances.drop_junk()
    return judge(scenario, style, (disturbed, faulty, plain))


def _readings(scenario: Scenario, style: Style, stage: Stage, repeats: int) -> tuple[list[Reading], ...]:
    call = _CALL[style]
    disturbed: list[Reading] = []
    faulty: list[Reading] = []
    plain: list[Reading] = []
    quiet = replace(scenario, disturbances=())
    small = replace(quiet, operation=SMALL_READ)
    if scenario.place == "cluster":
        with clusters.placed(scenario) as place:
            options = {"host": "127.0.0.1", "port": place.port}
            plain += [call(small, stage, options, disturb=False, begin=_nothing, index="") for _ in range(repeats)]
            for _ in range(repeats):
                index = place.index()
                disturbed.append(call(scenario, stage, options, disturb=True, begin=place.begin, index=index))
        return disturbed, plain, plain
    agent = stage.agent(scenario.place)
    options = calls.client_options(scenario, stage, agent.port, scenario.host)
    begin = (lambda: agent.tell("full")) if scenario.place == "backlog" else _nothing
    fast = calls.client_options(replace(scenario, place="agent"), stage, stage.agent("agent").port, "127.0.0.1")
    for _ in range(repeats):
        gc.collect()
        plain.append(call(small, stage, fast, disturb=False, begin=_nothing, index=""))
        with agent.faulty(scenario) if scenario.faults else ExitStack():
            if scenario.disturbances:
                faulty.append(call(quiet, stage, options, disturb=False, begin=_nothing, index=""))
            disturbed.append(call(scenario, stage, options, disturb=True, begin=begin, index=""))
    return disturbed, faulty or plain, plain


def _nothing() -> None:
    pass


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


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attribution.run", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    parser.add_argument("--style", choices=("sync", "asyncio"))
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--no-consul", action="store_true", help="without those that need a real Consul")
    options = parser.parse_args(arguments)
    table = printing.Markdown() if options.markdown else printing.Plain()
    results = list(_run(options, table))
    missed = [result for result in results if not result.met]
    table.end(len(results), len(missed))
    return 1 if missed else 0


def _run(options: Any, table: printing.Table) -> Iterable[Result]:
    stage = Stage()
    try:
        with slow_names():
            table.begin()
            for scenario in SCENARIOS:
                if options.only not in scenario.name or (options.no_consul and scenario.place == "cluster"):
                    continue
                for style in scenario.styles:
                    if options.style in (None, style):
                        try:
                            result = measure(scenario, style, stage, options.repeats)
                        except Unavailable as reason:
                            table.skipped(scenario, style, str(reason))
                            continue
                        table.row(result)
                        yield result
    finally:
        stage.close()


if __name__ == "__main__":
    sys.exit(main())
