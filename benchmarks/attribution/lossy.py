"""Calls over a network that loses things, for real: `python -m benchmarks.attribution.lossy [--only WORD] [--markdown]`.

The client and the agent live in network namespaces of their own; packets between them are dropped by rules that come and go.
What is true is known from what was done, and from the call's duration by a stopwatch of our own. As a child process (`--play`)
it is the client: it sits in its namespace and prints one line of JSON for each case.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import consul
import consul.aio
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.attribution.stage import Agent
from otel_consul import ConsulInstrumentor, open_calls
from testbed import netns

STALLED: Final = 0.6
SLOW: Final = 0.5
ROUND_TRIP: Final = 0.06
HANGS_FOR: Final = 1.5
GIVE_UP: Final = 5.0


@dataclass(frozen=True)
class Case:
    """Something that happens to one call."""

    name: str
    lose: tuple[str, float, float] | None = None
    """What is dropped (what leaves, what comes), from when on after the request is due, and until when."""
    fault: dict[str, Any] | None = None
    """What the agent does."""
    state: str = ""
    """What must be said of the hung call. Else the call ends."""
    stopped: bool = False
    """Whether the agent's process is stopped meanwhile."""
    blocked: bool = False
    """Whether the caller's thread is elsewhere meanwhile (the loop computes)."""
    slow_link: bool = False
    far: bool = False
    delayed: Callable[[float], float] = lambda extra: 0.0
    """What the network delayed it by, given by how much longer the call took than an undisturbed one."""
    styles: tuple[str, ...] = ("sync", "asyncio")


OUT, IN = "what leaves", "what comes"
CASES: Final = (
    Case("request lost once", (OUT, 0.0, 0.1), delayed=lambda extra: extra),
    Case("request lost for 0.6 s", (OUT, 0.0, 0.6), delayed=lambda extra: extra),
    Case("request lost for 0.6 s, slow server", (OUT, 0.0, 0.6), {"delay": SLOW}, delayed=lambda extra: extra - SLOW),
    Case("acknowledgement lost, slow server", (IN, 0.0, 0.4), {"delay": SLOW}),
    Case("answer lost after the acknowledgement", (IN, 0.2, 0.7), {"delay": 0.3}),
    Case("slow server", None, {"delay": SLOW}),
    Case("slow link, large body", slow_link=True),
    Case("long round trip", far=True, delayed=lambda _: ROUND_TRIP),
    Case("long round trip, slow server", None, {"delay": SLOW}, far=True, delayed=lambda _: ROUND_TRIP),
    Case("hung: the link is dead", (OUT, 0.0, HANGS_FOR), state="unacknowledged", delayed=lambda extra: extra),
    Case("hung: the link is dead both ways", (IN, 0.0, GIVE_UP + 0.5), {"stop": "hang"}, state="unacknowledged",
         delayed=lambda extra: extra),
    Case("hung: the agent is stopped", stopped=True, state="acknowledged"),
    Case("hung: the agent says nothing", None, {"stop": "hang"}, state="acknowledged"),
    Case("hung: the agent has hung up, the loop is elsewhere", None, {"stop": "close", "delay": 0.1}, blocked=True,
         state="closed_by_peer", styles=("asyncio",)),
)  # fmt: skip


class ToFile(MetricExporter):
    """OTLP, as it would have been sent, a line for each export: from here nobody can be reached."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def export(self, metrics_data: Any, timeout_millis: float = 0, **kwargs: Any) -> MetricExportResult:
        line = base64.b64encode(encode_metrics(metrics_data).SerializeToString())
        with self._file.open("ab") as file:
            file.write(line + b"\n")
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None: ...


def exported_to(file: Path) -> MeterProvider:
    """Metrics of a service that is named after the file."""
    reader = PeriodicExportingMetricReader(ToFile(file), export_interval_millis=500)
    return MeterProvider([reader], Resource.create({"service.name": file.name}), shutdown_on_exit=False)


class Client:
    """The process in the client's namespace."""

    def __init__(self, port: int, pid: int, ca_file: str, server: str, metrics: str, *, hangs: bool) -> None:
        self._port = port
        self._agent_pid = pid
        self._server = server
        """The namespace of the agent."""
        self._ca_file = ca_file
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        meters = exported_to(Path(metrics)) if metrics else MeterProvider(shutdown_on_exit=False)
        self._flush: Callable[[], object] = meters.force_flush
        threshold = STALLED if hangs else 2 * GIVE_UP
        ConsulInstrumentor().instrument(tracer_provider=provider, meter_provider=meters, stall_threshold=threshold)

    @property
    def _options(self) -> dict[str, Any]:
        tls = {"scheme": "https", "verify": False} if self._ca_file else {}
        return {"host": netns.SERVER, "port": self._port, "connections_timeout": GIVE_UP, **tls}

    def end(self) -> None:
        """Export what is left."""
        self._flush()

    def play(self, case: Case, style: str) -> dict[str, Any]:
        self._exporter.clear()
        key = ("large", {}) if case.slow_link else ("a", {})
        if style == "sync":
            seconds, seen = self._sync(case, key)
        else:
            seconds, seen = asyncio.run(self._asyncio(case, key))
        spans: dict[str, Any] = {}
        for span in self._exporter.get_finished_spans():
            if span.name == "kv.get" or span.name not in spans:  # the last call, and the first report that it hangs
                spans[span.name] = dict(span.attributes or {})
        *_, plain = (
            (one.end_time or 0) - (one.start_time or 0)
            for one in self._exporter.get_finished_spans()
            if one.attributes and one.attributes.get("consul.kv.key") == "b"
        )
        return {
            "name": case.name,
            "style": style,
            "extra": seconds - plain / 1e9,
            "span": spans.get("kv.get", {}),
            "stalled": spans.get("kv.get stalled", {}),
            "seen": seen,
        }

    def _sync(self, case: Case, key: Any) -> tuple[float, str | None]:
        client = consul.Consul(**self._options)
        for _ in range(2):  # the second on a connection that is there
            client.kv.get("b")
        self._flush()
        seen: list[str | None] = []
        with self._disturbed(case, lambda: seen.append(_state())):
            began = time.perf_counter()
            with suppress(Exception):
                client.kv.get(key[0], **key[1])
            return time.perf_counter() - began, next(iter(seen), None)

    async def _asyncio(self, case: Case, key: Any) -> tuple[float, str | None]:
        client = consul.aio.Consul(**self._options)
        for _ in range(2):
            await client.kv.get("b")
        self._flush()
        seen: list[str | None] = []
        with self._disturbed(case, lambda: seen.append(_state())):
            began = time.perf_counter()
            call = asyncio.ensure_future(client.kv.get(key[0], **key[1]))
            if case.blocked:
                await asyncio.sleep(0.05)
                time.sleep(HANGS_FOR)  # noqa: ASYNC251 -- that is the point
            with suppress(Exception):
                await call
            seconds = time.perf_counter() - began
        await client.close()
        return seconds, next(iter(seen), None)

    @contextmanager
    def _disturbed(self, case: Case, look: Callable[[], None]) -> Iterator[None]:
        timers = []
        if case.lose is not None:
            chain, start, end = case.lose
            if start == 0:
                self._rule("-A", chain)
            else:
                timers.append(threading.Timer(start, self._rule, ("-A", chain)))
            timers.append(threading.Timer(end, self._rule, ("-D", chain)))
        if case.stopped:
            os.kill(self._agent_pid, signal.SIGSTOP)
            timers.append(threading.Timer(HANGS_FOR, os.kill, (self._agent_pid, signal.SIGCONT)))
        if case.state:
            timers.append(threading.Timer(HANGS_FOR - 0.3, look))
        for timer in timers:
            timer.start()
        try:
            yield
        finally:
            for timer in timers:
                timer.join()

    def _rule(self, what: str, chain: str) -> None:
        # On arrival: what a machine drops as it sends, it knows not to have sent.
        port = "--dport" if chain == OUT else "--sport"
        rule = ["iptables", "-w", what, "INPUT", "-p", "tcp", port, str(self._port), "-j", "DROP"]
        subprocess.run(["ip", "netns", "exec", self._server, *rule] if chain == OUT else rule, check=True)


def _state() -> str | None:
    return next((call.network_state for call in open_calls()), None)


def play(
    only: str = "", *, tls: bool = False, metrics: Path | None = None, repeats: int = 1
) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Every case by every client, and what it said. `metrics` is a folder for what was exported, a file for each."""
    for far in (False, True):
        cases = [case for case in CASES if case.far == far and only in case.name]
        if not cases:
            continue
        with netns.link(ROUND_TRIP if far else 0.0) as link:
            options = ("--host", netns.SERVER, *(("--tls-delay", "0") if tls else ()))
            agent = Agent(*options, prefix=link.command(link.server))
            try:
                for case in cases:
                    for style in case.styles:
                        file = metrics / f"{CASES.index(case)}-{style}" if metrics is not None else None
                        yield case, _played(case, style, link, agent, file, repeats)
            finally:
                agent.close()


def _played(case: Case, style: str, link: netns.Link, agent: Agent, file: Path | None, repeats: int) -> dict[str, Any]:
    if case.slow_link:
        link.slow(400)
    if case.fault is not None:
        agent.fault({"path": "/v1/kv/a", **case.fault})
    command = [sys.executable, "-m", __spec__.name if __spec__ else "benchmarks.attribution.lossy", "--play", case.name]
    try:
        result = subprocess.run(
            link.command(
                link.client, *command, style, str(agent.port), str(agent.pid), str(agent.ca_file), link.server,
                str(file or ""), str(repeats),
            ),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        agent.heal()
        if case.slow_link:
            link.fast()
    if result.returncode:
        raise RuntimeError(result.stderr[-3000:])
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def main() -> int:
    """The table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attribution.lossy", description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument(
        "--play",
        nargs=8,
        metavar=("CASE", "STYLE", "PORT", "PID", "CA", "SERVER", "METRICS", "REPEATS"),
        help=argparse.SUPPRESS,
    )
    options = parser.parse_args()
    if options.play:
        name, style, port, pid, ca_file, server, metrics, repeats = options.play
        case = next(one for one in CASES if one.name == name)
        client = Client(int(port), int(pid), ca_file, server, metrics, hangs=bool(case.state))
        *_, found = (client.play(case, style) for _ in range(int(repeats)))
        client.end()
        print(json.dumps(found))
        return 0
    print("| Scenario | Client | Longer by, s | Network's, s | Said | Sent again | State of the hung call |")
    print("|---|---|---|---|---|---|---|")
    for case, found in play(options.only, tls=options.tls):
        span = found["span"]
        truth = case.delayed(found["extra"])
        said, again = span.get("consul.network.delay", 0.0), span.get("consul.network.retransmits", 0)
        state = found["stalled"].get("consul.network.state", "not said") if case.state else ""
        cells = (case.name, found["style"], f"{found['extra']:.3f}", f"{truth:.3f}", f"{said:.3f}", again, state)
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
