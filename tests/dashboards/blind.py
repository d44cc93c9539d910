"""Blind diagnosis: who looks at the dashboards alone, does he name what was injected? `python -m tests.dashboards.blind`

`judge` runs the dashboards' own queries over the data of one service and knows nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attribution.scenarios import Scenario
from otel_consul import semconv
from testbed.backends import Backend, victoria_metrics
from testbed.processes import Process
from tests.dashboards.blind_program import CASES
from tests.dashboards.grafana import Choice, Dashboard, Target, Window, load, targets
from tests.dashboards.harness import Question, Series, everything, mean, top

INNOCENT = 0.25
"""Local delay below this share of the calls' time is nobody's reason."""
LITTLE = 0.05
"""Seconds per second below which neither local delay nor lateness is worth a word."""
SECONDS = 200.0


@dataclass(frozen=True)
class Verdict:
    """What is said of one service. Where nothing is claimed: an empty string."""

    operation: str
    phase: str
    delay: str
    """The cause of local delay, if there is enough of it to matter."""
    late: bool

    def __str__(self) -> str:
        said = [self.operation, self.phase, self.delay, "late" if self.late else ""]
        return ", ".join(filter(None, said)) or "nothing"


def _find(boards: Sequence[Dashboard], panel: str, ref: str = "A") -> Target:
    return next(each for each in targets(boards) if each.panel.startswith(panel) and each.ref == ref)


def _sum(series: Sequence[Series]) -> float:
    return sum(map(mean, series))


def judge(question: Question, boards: Sequence[Dashboard]) -> Verdict:
    """By the dashboards: the first row of each panel, as a reader would."""
    late = question.ask(_find(boards, "Blocking queries", "B"))
    if late and max(map(mean, late)) > LITTLE:
        return Verdict(str(top(late, "consul_operation")), "", "", late=True)
    operations = question.ask(_find(boards, "Operations, by time"))
    phases, delays = (question.ask(_find(boards, panel)) for panel in ("Time by phase", "Local delay"))
    much = _sum(delays) > max(LITTLE, INNOCENT * _sum(phases))
    delay = top(delays, "consul_local_delay_cause") if much else ""
    return Verdict(str(top(operations, "consul_operation")), str(top(phases, "consul_phase")), delay, late=False)


def truth(scenario: Scenario) -> Verdict:
    """What was injected, as the attribution suite says."""
    weights = {key: math.inf if math.isnan(value) else value for key, value in scenario.expected.items()}
    phases = {key: value for key, value in weights.items() if key in semconv.PHASES}
    causes = {key: value for key, value in weights.items() if key in semconv.LOCAL_DELAYS}
    operation = scenario.operation[0]
    if "late" in weights:
        return Verdict(operation if weights["late"] else "", "", "", late=weights["late"] > 0)
    return Verdict(operation, max(phases, key=phases.__getitem__, default=""), max(causes, default=""), late=False)


@dataclass(frozen=True)
class Sentence:
    """One case: what was injected and what was said."""

    scenario: Scenario
    style: str
    injected: Verdict
    said: Verdict
    starved: float
    """Share of the time for which the machine had no processor for the calls, by the kernel's account."""

    @property
    def right(self) -> bool:
        """The operation and the cause. A phase is not judged where none was injected."""
        if not self.injected.operation:  # nothing is wrong: nobody may be accused
            return not self.said.late and not self._delay
        phase = self.said.phase if self.injected.phase else ""
        return Verdict(self.said.operation, phase, self._delay, late=self.said.late) == self.injected

    @property
    def _delay(self) -> str:
        """What was said, less what was rightly said though nobody injected it.

        A starved machine is `cpu` or `throttled`, and `gil` in part; the kernel's share is of the whole case, of which the
        calls are about half. And a call that decodes keeps the GIL meanwhile: the calls beside it lose what they had to wait for it.
        """
        innocent = ("cpu", "throttled") if self.starved > LITTLE / 2 else ()
        if self.starved > LITTLE / 2 or self.injected.phase == "decode":
            innocent = (*innocent, "gil")
        return "" if self.said.delay in innocent and not self.injected.delay else self.said.delay

    def __str__(self) -> str:
        return f"{self.scenario.name} ({self.style}): injected {self.injected}; said {self.said}; starved {self.starved:.0%}"


def judge_all(boards: Sequence[Dashboard], only: str = "") -> list[Sentence]:
    """Run every case, those with clusters beside the others, then judge each."""
    with ExitStack() as stack:
        server = stack.enter_context(victoria_metrics())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        processes = []
        for options in ((), ("--clusters",)):
            command = [sys.executable, "-m", "tests.dashboards.blind_program", server.otlp_metrics_url, *options]
            process = Process([*command, f"--only={only}"], folder / "".join(("log", *options)))
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            if process.wait(SECONDS):
                raise RuntimeError(process.tail())
        server.show_all()
        lines = [line for process in processes for line in process.log.read_text().splitlines()]
        return sorted(_judged(server, boards, lines), key=lambda one: CASES.index((one.scenario, one.style)))  # type: ignore[arg-type]


def _judged(server: Backend, boards: Sequence[Dashboard], lines: Sequence[str]) -> Iterator[Sentence]:
    for line in lines:
        if not line.startswith("{"):
            continue
        case = json.loads(line)
        scenario, style = CASES[case["number"]]
        chosen = everything(boards) | {"service": Choice((f"case-{case['number']}",))}
        window = Window(case["began"] - 1, case["ended"] + 1.5, scrape_interval=1.0)
        yield Sentence(
            scenario, style, truth(scenario), judge(Question(server, window, chosen), boards), case["starved"]
        )


def main() -> int:
    """The table and the score, for docs/dashboards.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.dashboards.blind", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    began = time.monotonic()
    found = judge_all(load(), parser.parse_args().only)
    right = sum(one.right for one in found)
    rows = ["| Scenario | Client | Injected | Said | Right |", "|---|---|---|---|---|"]
    for one in found:
        cells = (one.scenario.name, one.style, one.injected, one.said, "yes" if one.right else "**no**")
        rows.append(f"| {' | '.join(map(str, cells))} |")
    rows.append(f"\n{right} of {len(found)} named right, in {time.monotonic() - began:.0f} s.\n")
    sys.stdout.write("\n".join(rows))
    return 0 if right == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
