"""The last act: the network falls silent, once for calls without a deadline and once for calls with one.

Both services of `demo.incident` run at the same time, each behind a network of its own, so that one sees side by side
what a deadline changes, while it hangs.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from demo.blame import NAMES, Finding, aggregated
from demo.incident import findings
from demo.incident_run import Account, Look, Plan
from demo.incident_run import play as run_service
from demo.program import ProgramError
from demo.stage import Stage
from otel_consul.report import show, worst
from testbed.tcp_proxy import TcpProxy
from testbed.telemetry import LogRecord

TITLE = "No deadline"
WHAT = (
    "Another program, demo/incident_service.py, reads a key 20 times a second. Its network falls silent without a "
    "word: nothing is refused, nothing is reset. It runs twice: without any deadline, and with one of 1 s."
)
INJECTED = "a dead connection"
DEADLINE = 1.0
ROWS = 6
"""How often one sees what the metrics say."""


class Run(threading.Thread):
    """One service, from its start to its end by SIGTERM."""

    def __init__(self, plan: Plan, proxy: TcpProxy) -> None:
        super().__init__(daemon=True)  # Ctrl-C does not wait for it; testbed.processes ends the service
        self.plan, self.proxy = plan, proxy
        self.elapsed = 0.0
        self.look: Look | None = None
        self.account = Account(plan)
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.account = run_service(self.plan, self.proxy, self._watch)
        except Exception as error:  # noqa: BLE001 - told in the main thread
            self.error = error

    def _watch(self, look: Look, elapsed: float) -> None:
        self.look, self.elapsed = look, elapsed

    def words(self) -> str:
        """What its metrics say now."""
        look = self.look
        return f"{look.open:>8.0f}{look.oldest:>9.1f} s{look.stalled:>9.0f}" if look is not None else ""


def play(console: Console, on: Stage, seconds: float) -> Finding:
    """Play the act and say what the telemetry says."""
    threshold = min(5.0, seconds / 6)
    with TcpProxy(on.consul_port) as second:
        broken = Run(Plan("threads", None, seconds, stall_threshold=threshold), on.proxy)
        fixed = Run(Plan("threads", DEADLINE, seconds, stall_threshold=threshold), second)
        for run in (broken, fixed):
            run.start()
        _follow(console, broken, fixed, seconds / ROWS)
    for run in (broken, fixed):
        if run.error is not None:
            raise ProgramError(f"with deadline {run.plan.deadline}: {run.error}") from run.error
    if broken.account.logs:
        _log(console, broken.account.logs[0])
    spans = broken.account.spans
    show(aggregated(spans), console, "What the telemetry says: without a deadline")
    repaired = aggregated(fixed.account.spans)
    show(repaired, console, "What the telemetry says: with a deadline of 1 s")
    verdict = worst(aggregated(spans).operations)
    cause = verdict.cause if verdict else "no telemetry"
    seen = findings(broken.account, fixed.account)
    for what in (what for what, right in seen.items() if not right):
        console.print(f"✘ NOT so: {what}", style="bold red")
    return Finding(TITLE, INJECTED, NAMES.get(cause, cause), cause == "no_deadline" and all(seen.values()))


def _follow(console: Console, broken: Run, fixed: Run, every: float) -> None:
    """Say what the metrics say while it hangs, until both have ended."""
    printed = 0
    with console.status("Two services start ...") as status:
        while broken.is_alive() or fixed.is_alive():
            time.sleep(0.1)
            if broken.look is None:
                continue
            if not printed:
                console.print(Text(f"{'':11}{'without a deadline':^28}   {'with a deadline of 1 s':^28}", "bold"))
                console.print(Text(f"{'silent for':11}" + 2 * f"{'open':>8}{'oldest':>11}{'stalled':>9}   ", "dim"))
                printed = 1
            status.update(f"Silent for {broken.elapsed:.0f} s: {broken.look.open:.0f} calls hang ...")
            if broken.elapsed >= printed * every - 0.5:
                console.print(f"{broken.elapsed:>8.0f} s {broken.words()}   {fixed.words()}")
                printed += 1
            if broken.elapsed >= broken.plan.silence - 0.5:
                status.update("Both services get a SIGTERM ...")


def _log(console: Console, record: LogRecord) -> None:
    """What the log said while it hung: the first of the stalled calls."""
    console.print()
    console.print(Text("A log record that arrived meanwhile:", "dim"))
    console.print(Text(f"  {record.severity} {record.body}", "yellow"))
    for line in str(record.attributes.get("code.stacktrace", "")).splitlines():
        console.print(Text(f"  {line.replace(str(Path.cwd()) + '/', '')}"), overflow="fold")
