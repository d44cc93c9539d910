"""Everything a scenario needs around the call: agents in processes of their own, clients, the plugin's spans."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.attribution.scenarios import Scenario
from otel_consul import ConsulInstrumentor

_PHASE = "consul.phase."
_CAUSE = "consul.local_delay."
CAUSES = ("event_loop", "gc", "gil", "cpu", "throttled")
DNS_SECONDS = 0.5
TLS_SECONDS = 0.5


class Agent:
    """A stand-in agent in another process, until `close`."""

    def __init__(self, *options: str, prefix: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "benchmarks.attribution.agent", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        port, _, self.ca_file = self._line().partition(" ")
        self.port = int(port)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def fault(self, fault: Mapping[str, Any]) -> None:
        """What happens from now on, of an agent in a namespace of its own."""
        self.tell(json.dumps(fault))

    def heal(self) -> None:
        """Undo that."""
        self.tell("null")

    def tell(self, word: str) -> None:
        """A command for an agent that listens to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        self._line()

    def control(self, method: str, fault: Mapping[str, Any] | None = None) -> None:
        body = None if fault is None else json.dumps(fault).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/stub/fault", body, method=method)
        with urllib.request.urlopen(request) as answer:
            answer.read()

    @contextmanager
    def faulty(self, scenario: Scenario) -> Iterator[None]:
        """With the scenario's faults."""
        for fault in scenario.faults:
            self.control("PUT", fault)
        try:
            yield
        finally:
            if scenario.faults:
                self.control("DELETE")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Reading:
    """One call as the plugin saw it, and its duration by a stopwatch of our own."""

    def __init__(self, span: ReadableSpan, stopwatch: float) -> None:
        attributes = dict(span.attributes or {})
        self.duration = stopwatch
        self.decoding = 0.0
        """What the client's callback took, by a stopwatch of our own."""
        self.given: dict[str, float] = {}
        for name, value in attributes.items():
            for prefix in (_PHASE, _CAUSE):
                if name.startswith(prefix) and isinstance(value, float):
                    self.given[name.removeprefix(prefix)] = value
        late = attributes.get("consul.late")
        if isinstance(late, float):
            self.given["late"] = late


class Stage:
    """The agents, one of each kind, and the plugin switched on."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        ConsulInstrumentor().instrument(tracer_provider=provider)
        self._stack = ExitStack()
        self._agents: dict[str, Agent] = {}
        self._stack.callback(ConsulInstrumentor().uninstrument)

    def agent(self, place: str) -> Agent:
        """The agent of that kind."""
        if place not in self._agents:
            options = {"tls": ("--tls-delay", str(TLS_SECONDS)), "backlog": ("--backlog",)}.get(place, ())
            self._agents[place] = agent = Agent(*options)
            self._stack.callback(agent.close)
            if place == "backlog":
                agent.tell("start")
        return self._agents[place]

    def spans(self) -> list[ReadableSpan]:
        """The Consul spans since the last time, in the order they ended."""
        spans = [span for span in self._exporter.get_finished_spans() if "consul.operation" in (span.attributes or {})]
        self._exporter.clear()
        return [span for span in spans if not span.name.endswith(" stalled")]

    def close(self) -> None:
        self._stack.close()


@contextmanager
def slow_names() -> Iterator[None]:
    """A resolver that takes its time over names under consul.test."""
    resolve = socket.getaddrinfo

    def slowly(host: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(host, str) and host.endswith(".consul.test"):
            if host.startswith("slow"):
                time.sleep(DNS_SECONDS)
            host = "127.0.0.1"
        return resolve(host, *args, **kwargs)

    with mock.patch("socket.getaddrinfo", slowly):
        yield
