"""The incident: the network falls silent, calls without a deadline hang by the hundred, and one sees it while it happens.

`python -m demo.incident` plays it: a service that reads a key 20 times a second, a Consul, and between them a proxy
that stops forwarding without a word. Then the same service with a deadline. Everything said of the service comes from
the telemetry it exports by OTLP; what it truly did is counted on the side, byte by byte in a file.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from demo.incident_run import SERVICE, STYLES, Account, Look, Plan, play
from demo.stage import stage
from testbed.telemetry import LogRecord, Span


def findings(broken: Account, fixed: Account) -> Mapping[str, bool]:
    """What the telemetry of the two runs must show, and whether it does."""
    plan, looks = broken.plan, broken.looks
    outcomes, fixed_outcomes = broken.outcomes(), fixed.outcomes()
    guilty = "read_config" + ("_async" if plan.style == "asyncio" else "")
    reports: list[LogRecord | Span] = [*broken.logs, *broken.stalled]
    elapsed = looks[-1].time - looks[0].time
    flat = (fixed.plan.deadline or 0) * fixed.plan.rate
    return {
        "the count of open calls rises with every call": all(a.open <= b.open for a, b in pairwise(looks))
        and looks[-1].open - looks[0].open > 0.7 * plan.rate * elapsed,
        "the oldest age rises one second a second": abs((looks[-1].oldest - looks[0].oldest) / elapsed - 1) < 0.1,
        "stalled calls are counted": looks[-1].stalled > 0,
        "log records and child spans tell of them": len(broken.logs) > 3 and len(broken.stalled) > 3,
        "they name the guilty line": {
            (report.attributes.get("code.function.name"), Path(str(report.attributes.get("code.file.path"))).name)
            for report in reports
        }
        == {(guilty, SERVICE.name)},
        "they came while the calls hung": all(
            span.end < call.end for call in broken.calls for span in broken.stalled if span.parent_id == call.span_id
        ),
        "no call has a deadline": broken.deadlines == {"none"},
        "SIGTERM ends the service as ever": broken.exit_code == fixed.exit_code == -signal.SIGTERM,
        "every open call arrives as abandoned": outcomes.get("abandoned", 0) >= looks[-1].open > 0,
        "calls made = calls counted = spans received": broken.made == broken.started == len(broken.calls),
        "with a deadline the count is flat": max(look.open for look in fixed.looks) < 2 * flat + 10,
        "and the calls end as timeout": fixed_outcomes.get("timeout", 0)
        > 0.5 * fixed.plan.rate * fixed.plan.silence / 2
        and set(fixed_outcomes) <= {"ok", "not_found", "timeout", "abandoned"},
        "nothing is lost there either": fixed.made == fixed.started == len(fixed.calls),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.incident", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the network is silent (default: 30)")
    parser.add_argument("--style", choices=STYLES, default=STYLES[0])
    parser.add_argument("--python", default=sys.executable, help="the service's interpreter")
    parser.add_argument("--stub", action="store_true", help="do not look for a real Consul")
    arguments = parser.parse_args()
    console = Console(highlight=False, emoji=False)
    return 0 if perform(console, arguments.seconds, arguments.style, arguments.python, stub=arguments.stub) else 1


def say(console: Console, look: Look, elapsed: float) -> None:
    """What the metrics say, `elapsed` seconds into the silence."""
    console.print(
        f"  {elapsed:5.1f} s   open calls {look.open:5.0f}   oldest {look.oldest:5.1f} s   stalled {look.stalled:5.0f}",
        style="dim",
    )


def perform(console: Console, seconds: float, style: str, python: str = sys.executable, *, stub: bool = False) -> bool:
    """Play the incident and its repair, and print what was to be seen; whether all of it was."""
    threshold, watch = min(5.0, seconds / 6), partial(say, console)
    with stage(console, stub=stub) as ready:
        console.print(f"The network to {ready.consul_name} falls silent; no call has a deadline.")
        broken = play(Plan(style, None, seconds, stall_threshold=threshold, python=python), ready.proxy, watch)
        console.print("The same service with a deadline of 1 s.")
        quiet = min(seconds, 6.0)
        fixed = play(Plan(style, 1.0, quiet, stall_threshold=threshold, python=python), ready.proxy, watch)
    if broken.logs:
        console.print(str(broken.logs[-1].body), str(broken.logs[-1].attributes.get("code.stacktrace")), sep="\n")
    seen = findings(broken, fixed)
    for what, right in seen.items():
        console.print(f"{'✔' if right else '✘'} {what}", style="green" if right else "bold red")
    return all(seen.values())


if __name__ == "__main__":
    sys.exit(main())
