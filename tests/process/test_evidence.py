"""Every source of evidence is optional: a Python or a system that lacks one loses what it would have shown, and no more."""

from __future__ import annotations

import json

import pytest

from testbed.stub_agent import StubAgent
from tests.process.conftest import LOGGING, Run

pytest.importorskip("consul")

MISSING = {
    "gc.callbacks": "import gc; del gc.callbacks",
    "_current_frames": "import sys; del sys._current_frames",
    "thread_time": "import time; del time.thread_time",
    "coarse thread_time": "import time; fine = time.thread_time; time.thread_time = lambda: fine() // 0.015625 * 0.015625",
    "clock_gettime": "import time; del time.clock_gettime",
    "TCP_INFO": "import socket; del socket.TCP_INFO",
    "register_at_fork": "import threading, random, os, logging; del os.register_at_fork",
    "SIGUSR1 and SIGUSR2": "import signal; del signal.SIGUSR1, signal.SIGUSR2",
    "pthread_sigmask": "import signal; del signal.pthread_sigmask",
    "native_id": "import threading, _thread; threading._HAVE_THREAD_NATIVE_ID = False; "
    "del threading.Thread.native_id, threading.get_native_id, _thread.get_native_id",
    "nothing": "",
}
PROGRAM = """
import asyncio, json, os, sys, threading, time
import consul
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
{missing}
import otel_consul
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracers, meters = TracerProvider(), MeterProvider([reader])
tracers.add_span_processor(SimpleSpanProcessor(exporter))
otel_consul.ConsulInstrumentor().instrument(
    tracer_provider=tracers, meter_provider=meters, dump_signal="SIGUSR2", stall_threshold=0.05
)
client = consul.Consul()
client.kv.get("slow")
threading.Thread(target=client.kv.get, args=["slow"]).start()
time.sleep(0.05)
open_calls = [(call.operation, call.phase) for call in otel_consul.open_calls()]
try:
    import consul.aio
    async def main():
        client = consul.aio.Consul()
        await client.kv.get("slow")
        if hasattr(client, "close"):
            await client.close()
    asyncio.run(main())
except ImportError:
    client.kv.get("slow")
if hasattr(os, "fork"):
    if (child := os.fork()) == 0:
        consul.Consul().kv.get("slow")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
time.sleep(0.3)
spans = [span for span in exporter.get_finished_spans() if span.name == "kv.get"]
points = {{}}
for resource in reader.get_metrics_data().resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            for point in metric.data.data_points:
                points[metric.name] = points.get(metric.name, 0) + getattr(point, "count", getattr(point, "value", 0))
print(json.dumps({{
    "open": open_calls,
    "waits": [span.attributes.get("consul.phase.wait", 0) for span in spans],
    "stalled": sum(span.name == "kv.get stalled" for span in exporter.get_finished_spans()) > 0,
    "counts": [points["consul.client.operation.duration"], points["consul.client.operations"]],
}}))
otel_consul.ConsulInstrumentor().uninstrument()
"""


@pytest.mark.parametrize("missing", MISSING)
def test_what_is_missing_takes_nothing_else_with_it(missing: str, run: Run, stub: StubAgent) -> None:
    stub.fault("/v1/kv/slow", delay=0.2)
    done = run(LOGGING + PROGRAM.format(missing=MISSING[missing]))
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["open"] == [["kv.get", "wait"]]
    assert found["waits"] == pytest.approx([0.2] * 3, abs=0.15)
    assert found["stalled"]
    assert found["counts"] == [3, 3]
    assert "failed in" not in done.err
    assert "could not be switched on" not in done.err
