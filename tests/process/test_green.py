"""gevent and eventlet, patched before the plugin is there and after it: the program goes on, and is told the truth."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

import pytest

from testbed.stub_agent import StubAgent
from tests.process.conftest import LOGGING, Finished, Run

pytest.importorskip("consul")

GREEN = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed"),
    )
    for name in ("eventlet", "gevent")
]
PATCH = {
    "eventlet": "import eventlet; eventlet.monkey_patch()\nspawn, sleep, Timeout = eventlet.spawn, eventlet.sleep, eventlet.Timeout\n",
    # ssl has been imported by then: gevent refuses to patch it so late, and says so
    "gevent": "import gevent, gevent.monkey; gevent.monkey.patch_all(ssl=False)\n"
    "spawn, sleep, Timeout = gevent.spawn, gevent.sleep, gevent.Timeout\n",
}
WAIT = {"eventlet": "wait", "gevent": "get"}
SET_UP = """
import json, sys, time, warnings
from time import perf_counter, sleep as really_sleep
warnings.simplefilter("ignore")
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor, InMemoryLogRecordExporter
exporter, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
tracers, loggers = TracerProvider(), LoggerProvider()
tracers.add_span_processor(SimpleSpanProcessor(exporter))
loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
"""
SWITCH_ON = """
import otel_consul
otel_consul.ConsulInstrumentor().uninstrument()
otel_consul.ConsulInstrumentor().instrument(tracer_provider=tracers, logger_provider=loggers, stall_threshold=0.2)
"""
PROGRAM = """
import consul
client = consul.Consul()

class Ticker:
    "The longest that a green thread waited for its turn beyond what one of the system's own did."
    def __init__(self):
        import otel_consul.background.os_threads as os_threads
        self.running, self.worst, self.machine = True, 0.0, 0.0
        os_threads.start_bare(self.real)
        self.green = spawn(self.tick, sleep)
    def real(self):
        last = perf_counter()
        while self.running:
            really_sleep(0.05)
            now = perf_counter()
            self.machine, last = max(self.machine, now - last - 0.05), now
    def tick(self, sleep):
        last = perf_counter()
        while self.running:
            sleep(0.05)
            now = perf_counter()
            self.worst, last = max(self.worst, now - last), now
    def stop(self):
        self.running = False
        return self.worst - self.machine

def attempt(function):
    try:
        return function()
    except BaseException as exc:
        return type(exc).__name__

def within(seconds, key):
    with Timeout(seconds):
        return client.kv.get(key)

def below_a_span():
    with tracers.get_tracer("program").start_as_current_span("program"):
        client.kv.get("slow")

def guilty():
    client.kv.get("hang")

def busy(seconds):
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass

ticker = Ticker()
below = [spawn(below_a_span) for _ in range(5)]
hung = spawn(guilty)
timed = spawn(attempt, lambda: within(0.3, "hang"))
sleep(0.8)
open_calls = [call.function for call in otel_consul.open_calls()]
hung.kill()
sleep(0.1)
timed_out = timed.WAIT()
for one in below:
    one.WAIT()
gap = ticker.stop()
outcomes = {span.attributes["consul.outcome"]: [event.attributes.get("consul.timeout.kind", event.name) for event in span.events]
    for span in exporter.get_finished_spans() if span.name == "kv.get"}
stalled = [(log.log_record if hasattr(log, "log_record") else log) for log in logs.get_finished_logs()]
spans = exporter.get_finished_spans()
parents = {span.context.span_id: span.name for span in spans}
exporter.clear()
call = spawn(client.kv.get, "soon")
sleep(0.1)
busy(0.4)
call.WAIT()
last = exporter.get_finished_spans()[-1].attributes
print(json.dumps({
    "gap": gap, "open": open_calls, "timed_out": timed_out, "outcomes": outcomes,
    "parents": [parents.get(span.parent.span_id) for span in spans if span.name == "kv.get" and span.parent],
    "stalled": [record.attributes.get("code.function.name") for record in stalled],
    "stalled spans": sum(span.name == "kv.get stalled" for span in spans),
    "busy": [last.get("consul.local_delay.event_loop", 0), last.get("consul.local_delay.gil", 0)],
}))
"""


@pytest.fixture(autouse=True)
def _answers(stub: StubAgent) -> None:
    stub.fault("/v1/kv/hang", stop="hang")
    stub.put("slow", "1")
    stub.fault("/v1/kv/slow", delay=0.5)
    stub.fault("/v1/kv/soon", delay=0.2)


def found(done: Finished) -> dict[str, Any]:
    assert done.code == 0, done.err
    assert "failed in" not in done.err
    assert "finds no thread" not in done.err
    assert "could not be switched on" not in done.err
    result: dict[str, Any] = json.loads(done.out)
    return result


@pytest.mark.parametrize("order", ["patched first", "plugin first", "under the launcher"])
@pytest.mark.parametrize("green", GREEN)
def test_a_program_of_green_threads(green: str, order: str, run: Run) -> None:
    if sys.version_info < (3, 11) and green == "gevent":
        pytest.skip("gevent's wheel")
    parts = [PATCH[green], SET_UP, SWITCH_ON] if order == "patched first" else [SET_UP, SWITCH_ON, PATCH[green]]
    code = LOGGING + "".join(parts) + PROGRAM.replace("WAIT", WAIT[green])
    exporters = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}

    seen = found(run(code, auto=order == "under the launcher", env=exporters))

    assert seen["gap"] < 0.15
    assert "guilty" in seen["open"]
    assert seen["timed_out"] == "Timeout"
    assert seen["outcomes"]["timeout"] == ["deadline"]
    assert seen["outcomes"]["cancelled"] == ["consul.cancelled"]
    assert seen["outcomes"]["ok"] == []
    assert seen["parents"] == ["program"] * 5
    assert "guilty" in seen["stalled"]
    assert seen["stalled spans"] >= 2
    event_loop, gil = seen["busy"]
    assert event_loop == pytest.approx(0.3, abs=0.15)
    assert gil == 0
