"""One run of the incident's service: what its telemetry says of it, and what is true."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testbed.otlp_receiver import OtlpReceiver
from testbed.processes import Process
from testbed.tcp_proxy import TcpProxy
from testbed.telemetry import LogRecord, MetricPoint, Span

SERVICE = Path(__file__).with_name("incident_service.py")
ROOT = SERVICE.parents[1]
STYLES = ("threads", "asyncio")
HEALTHY_CALLS = 20
SECONDS_TO_START = 30.0
SECONDS_TO_END = 15.0


@dataclass(frozen=True)
class Plan:
    """One run of the service. Times are seconds."""

    style: str
    deadline: float | None
    silence: float
    """How long the network is silent."""
    rate: float = 20.0
    """Calls a second."""
    stall_threshold: float = 5.0
    python: str = sys.executable
    """The interpreter of the service: with the client library of one's choice."""
    end: int = signal.SIGTERM
    """The signal that ends the service."""


@dataclass(frozen=True)
class Look:
    """What the metrics said at one moment."""

    time: float
    open: float
    oldest: float
    stalled: float


Watch = Callable[[Look, float], None]
"""Told of each look, and how many seconds into the silence it was."""


@dataclass
class Account:
    """What became of one run: what the telemetry says, and what is true."""

    plan: Plan
    froze_at: float = 0.0
    looks: list[Look] = field(default_factory=list)
    """During the silence."""
    logs: list[LogRecord] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    started: float = 0
    """Calls started, as the metric says."""
    deadlines: set[object] = field(default_factory=set)
    made: int = 0
    """Calls made, in truth."""
    exit_code: int | None = None

    @property
    def calls(self) -> list[Span]:
        return [span for span in self.spans if span.kind == "CLIENT"]

    @property
    def stalled(self) -> list[Span]:
        return [span for span in self.spans if span.name.endswith(" stalled")]

    def outcomes(self) -> dict[object, int]:
        """How the calls made since the network fell silent ended."""
        counts: dict[object, int] = {}
        for span in self.calls:
            if span.end > self.froze_at:
                outcome = span.attributes.get("consul.outcome")
                counts[outcome] = counts.get(outcome, 0) + 1
        return counts


@contextmanager
def service(plan: Plan, port: int, endpoint: str, folder: Path) -> Iterator[Process]:
    """The running service."""
    environ = {
        "OTEL_SERVICE_NAME": "incident",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "250",
        "OTEL_BLRP_SCHEDULE_DELAY": "250",
        "OTEL_PYTHON_CONSUL_STALL_THRESHOLD": str(plan.stall_threshold),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    command = ["env", *(f"{name}={value}" for name, value in environ.items()), plan.python, str(SERVICE)]
    command += [f"--port={port}", f"--style={plan.style}", f"--rate={plan.rate}", f"--tally={folder / 'tally'}"]
    command += [] if plan.deadline is None else [f"--deadline={plan.deadline}"]
    process = Process(command, folder / "output")
    try:
        yield process
    finally:
        process.kill()


def play(plan: Plan, proxy: TcpProxy, watch: Watch | None = None) -> Account:
    """Run the service, silence the network, end the service; TimeoutError if it does not start or end."""
    account = Account(plan)
    with tempfile.TemporaryDirectory(prefix="incident-") as name, OtlpReceiver() as receiver:
        folder = Path(name)
        try:
            with service(plan, proxy.port, receiver.endpoint, folder) as process:
                _wait_until_healthy(receiver, process)
                proxy.freeze()
                account.froze_at = time.time()
                while time.time() < account.froze_at + plan.silence:
                    time.sleep(0.5)
                    account.looks = list(_looks(receiver, account.froze_at))
                    if watch is not None and account.looks:
                        watch(account.looks[-1], account.looks[-1].time - account.froze_at)
                os.kill(process.pid, signal.SIGUSR1)
                time.sleep(0.3)
                os.kill(process.pid, plan.end)
                account.exit_code = process.wait(SECONDS_TO_END)
        finally:
            proxy.reset_all()
            proxy.thaw()
        account.logs = [log for log in receiver.logs if log.event_name == "consul.operation.stalled"]
        account.spans = receiver.spans
        points = receiver.latest("consul.client.operations")
        account.started = _total(points)
        account.deadlines = {point.attributes.get("consul.deadline") for point in points}
        account.made = (folder / "tally").stat().st_size
    return account


def _wait_until_healthy(receiver: OtlpReceiver, process: Process) -> None:
    try:
        receiver.wait_for(lambda received: len(received.spans) >= HEALTHY_CALLS, SECONDS_TO_START)
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{process.tail()}") from None


def _looks(receiver: OtlpReceiver, since: float) -> Iterator[Look]:
    by_time: dict[float, dict[str, float]] = {}
    for point in receiver.metrics:
        if point.time > since and point.value is not None:
            values = by_time.setdefault(round(point.time, 2), {})
            values[point.name] = values.get(point.name, 0.0) + point.value
    for when, values in sorted(by_time.items()):
        if "consul.client.active_operations" in values:
            yield Look(
                when,
                values["consul.client.active_operations"],
                values.get("consul.client.oldest_active_operation.age", 0.0),
                values.get("consul.client.stalled_operations", 0.0),
            )


def _total(points: list[MetricPoint]) -> float:
    return sum(point.value or 0.0 for point in points)
