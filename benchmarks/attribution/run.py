"""Run the suite: `python -m benchmarks.attribution.run [--repeats 5] [--only WORD] [--markdown] [--no-consul]`.

Each figure is the median over the repeats of what a call was given, less the median of the same call undisturbed.
`found` is the worst of what was to be found, `wrong` the worst of what was given elsewhere or too much, both as shares
of the injected delay. Ends with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

from benchmarks.attribution import calls, clusters, disturbances, printing
from benchmarks.attribution.judging import Result, judge
from benchmarks.attribution.scenarios import SCENARIOS, SMALL_READ, Scenario, Style
from benchmarks.attribution.stage import Reading, Stage, slow_names
from testbed.debian import Unavailable

_CALL: Final[dict[Style, Callable[..., Reading]]] = {"sync": calls.sync, "asyncio": calls.by_asyncio}


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
