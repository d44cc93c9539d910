"""A fork that Python is not told of, as uWSGI makes its workers: a process notices by itself that it is another one."""

from __future__ import annotations

import json
import sys

import pytest

from testbed.stub_agent import StubAgent
from tests.process.conftest import LOGGING, Run

pytest.importorskip("consul")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks by way of the C library")

PROGRAM = (
    LOGGING
    + """
import ctypes, json, os, threading, time
import consul, otel_consul
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracers, meters = TracerProvider(), MeterProvider([reader])
tracers.add_span_processor(SimpleSpanProcessor(exporter))
plugin = otel_consul.ConsulInstrumentor()
plugin.instrument(tracer_provider=tracers, meter_provider=meters, stall_threshold=0.2)
client = consul.Consul(connections_timeout=None)
client.kv.get("a")
threading.Thread(target=client.kv.get, args=["hang"], daemon=True).start()
while not otel_consul.open_calls():
    time.sleep(0.01)
time.sleep(0.3)  # a thread that wants the GIL at such a fork would stop any child, with or without the plugin
totals = plugin._recorder.shared.totals
totals._lock.acquire()  # a lock held by another thread at the fork is held for ever in the child
reading, writing = os.pipe()
child = ctypes.PyDLL(None).fork()  # with the GIL held, as a server has it
if child:
    totals._lock.release()
    os.close(writing)
    print(os.fdopen(reading).read())
    os.waitpid(child, 0)
    os._exit(0)

def points(name):
    data = reader.get_metrics_data()
    return {point.attributes["consul.operation"] + " " + str(point.attributes.get("server.port", "")):
        getattr(point, "count", getattr(point, "value", 0))
        for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
        if metric.name == name for point in metric.data.data_points}

exporter.clear()
CHILD
plugin.uninstrument()
found["abandoned"] = [s.name for s in exporter.get_finished_spans() if s.attributes.get("consul.outcome") == "abandoned"]
os.write(writing, json.dumps(found).encode())
os._exit(0)
"""
)


def in_child(run: Run, code: str) -> dict[str, object]:
    done = run(PROGRAM.replace("CHILD", code))
    assert done.code == 0, done.err
    assert "failed in" not in done.err
    found: dict[str, object] = json.loads(done.out)
    return found


@pytest.fixture(autouse=True)
def _hangs(stub: StubAgent) -> None:
    stub.fault("/v1/kv/hang", stop="hang")


def test_a_call_open_in_the_parent_is_not_the_childs(run: Run) -> None:
    found = in_child(run, "found = {'open': len(otel_consul.open_calls())}")
    assert found == {"open": 0, "abandoned": []}


def test_nor_is_it_reported_when_the_child_ends_without_a_call(run: Run) -> None:
    assert in_child(run, "found = {}") == {"abandoned": []}


def test_the_child_counts_anew(run: Run) -> None:
    found = in_child(run, "found = {name: sum(points(name).values()) for name in ('consul.client.operations',)}")
    assert found == {"consul.client.operations": 0, "abandoned": []}


def test_a_hung_call_of_the_child_is_seen(run: Run) -> None:
    found = in_child(
        run,
        """
threading.Thread(target=consul.Consul(connections_timeout=None).kv.get, args=["hang"], daemon=True).start()
time.sleep(1.5)
found = {"stalled": len([s for s in exporter.get_finished_spans() if s.name == "kv.get stalled"]) > 0,
    "active": sum(points("consul.client.active_operations").values())}
""",
    )
    assert found == {"stalled": True, "active": 1, "abandoned": ["kv.get"]}


def test_a_client_of_the_parents_is_marked(run: Run) -> None:
    found = in_child(
        run,
        """
client.kv.get("a")
found = {"forked": exporter.get_finished_spans()[-1].attributes.get("consul.client.forked", False)}
""",
    )
    assert found == {"forked": True, "abandoned": []}
