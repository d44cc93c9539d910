"""`python -m demo`: the whole story. It exits with 1 if the telemetry failed to name a culprit."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from typing import NoReturn

from rich.console import Console

from demo import screen, silence
from demo.acts import ACTS, TOLERATED, Act
from demo.blame import NAMES, Finding, aggregated
from demo.program import ProgramError, running
from demo.stage import Stage, stage
from otel_consul.report import show, worst
from otel_consul.report.wording import seconds
from testbed import cgroups
from testbed.otlp_receiver import OtlpReceiver

START_SECONDS = 30.0
OPEN_FOR_BUSINESS = 40
"""Spans after which the program has done everything once."""


def play(console: Console, act: Act, on: Stage) -> Finding:
    """Run the program through one act and say what its telemetry says."""
    with OtlpReceiver() as receiver, running(on.proxy.port, receiver.endpoint, act.settings) as program:

        def look() -> str:
            program.check()
            return f"{len(receiver.spans):,} spans received"

        with console.status("The program starts ..."):
            receiver.wait_for(lambda received: len(received.spans) >= OPEN_FOR_BUSINESS, START_SECONDS)
        with act.fault(on), ExitStack() as stack:
            if act.cpu_limit is not None:
                stack.enter_context(cgroups.limited(act.cpu_limit)).enter(program.pid)
            screen.wait(console, act, look)
        with console.status("The program ends ..."):
            program.stop()
        aggregate = aggregated(receiver.spans)
    show(aggregate, console, "What the telemetry says")
    verdict = worst(aggregate.operations + aggregate.blocking)
    cause = verdict.cause if verdict else "no telemetry"
    blamed, right = NAMES.get(cause, cause), cause == act.cause
    if act.cause == "nothing" and verdict and 0 < verdict.seconds < TOLERATED:
        blamed, right = f"nothing much ({seconds(verdict.seconds)} of {blamed})", True
    return Finding(act.title, act.culprit, blamed, right)


def story(console: Console, wanted: list[int], silent: float, *, stub: bool) -> list[Finding]:
    """Play the wanted acts; the last is that of the silence."""
    findings = []
    acts = [act for number, act in enumerate(ACTS, 1) if number in wanted]
    if any(act.cpu_limit for act in acts) and (why := cgroups.cannot()):
        console.print(f"The act with a CPU limit is left out: {why}.", style="yellow", markup=False)
        acts = [act for act in acts if not act.cpu_limit]
    hangs = len(ACTS) + 1 in wanted
    of = len(acts) + hangs
    with stage(console, stub=stub) as ready:
        screen.opening(console, ready.consul_name)
        for number, act in enumerate(acts, 1):
            screen.heading(console, number, of, act.title, act.what)
            findings.append(play(console, act, ready))
            screen.finding(console, findings[-1])
        if hangs:
            screen.heading(console, of, of, silence.TITLE, silence.WHAT)
            findings.append(silence.play(console, ready, silent))
            screen.finding(console, findings[-1])
    return findings


def main() -> int:
    everything = range(1, len(ACTS) + 2)
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--stub", action="store_true", help="do not look for a real Consul")
    parser.add_argument("--acts", default=",".join(map(str, everything)), help="which (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of silence in the last act (default: 30)")
    arguments = parser.parse_args()
    wanted = [int(number) for number in arguments.acts.split(",") if number.isdigit()]
    console = Console(highlight=False, emoji=False)
    began = time.monotonic()
    try:
        findings = story(console, wanted, arguments.seconds, stub=arguments.stub)
    except (ProgramError, TimeoutError) as error:
        console.print(f"The demo could not go on: {error}", style="bold red", markup=False)
        return 2
    screen.closing(console, findings, time.monotonic() - began)
    return 0 if findings and all(found.right for found in findings) else 1


def _terminated(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a script it is ignored
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Stopped; nothing of it is left running.")
        sys.exit(130)
