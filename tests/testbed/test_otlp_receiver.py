"""What real exporters send arrives whole; what the receiver is told to do to them, it does."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode

from testbed.otlp_receiver import OtlpReceiver

if TYPE_CHECKING:
    from pathlib import Path


def traced(receiver: OtlpReceiver, **exporter: Any) -> TracerProvider:
    provider = TracerProvider(resource=Resource({"service.name": "t"}), shutdown_on_exit=False)
    exporter.setdefault("endpoint", f"{receiver.endpoint}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(**exporter)))
    return provider


def logs(**fields: Any) -> bytes:
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add()
    for name, value in fields.items():
        setattr(record, name, value)
    record.body.string_value = "text"
    record.attributes.add(key="stack").value.string_value = "File x"
    return message.SerializeToString()


@pytest.mark.parametrize("compression", list(Compression))
def test_spans(compression: Compression) -> None:
    with OtlpReceiver() as receiver:
        tracer = traced(receiver, compression=compression).get_tracer("scope", "1.2", schema_url="http://s")
        with tracer.start_as_current_span("parent") as parent:
            context = parent.get_span_context()
            child = tracer.start_span("child", kind=SpanKind.CLIENT, links=[Link(context)], start_time=1_000_000_001)
            child.set_attributes({"i": 1, "f": 0.5, "b": True, "s": "x", "l": ["a", "b"]})
            child.add_event("happened", {"n": 2}, timestamp=1_500_000_000)
            child.set_status(StatusCode.ERROR, "why")
            child.end(3_000_000_001)
        span, outer = receiver.wait_for(lambda r: r.spans if len(r.spans) == 2 else None)
        assert (span.name, span.kind, span.status, span.status_message) == ("child", "CLIENT", "ERROR", "why")
        assert (span.start_ns, span.end_ns, span.duration) == (1_000_000_001, 3_000_000_001, 2.0)
        assert span.attributes == {"i": 1, "f": 0.5, "b": True, "s": "x", "l": ("a", "b")}
        assert [(e.name, e.time, e.attributes) for e in span.events] == [("happened", 1.5, {"n": 2})]
        assert (span.parent_id, span.trace_id, outer.parent_id) == (outer.span_id, outer.trace_id, None)
        assert span.links == ((outer.trace_id, outer.span_id),)
        assert span.resource["service.name"] == "t"
        assert (span.scope.name, span.scope.version, span.scope.schema_url) == ("scope", "1.2", "http://s")
        assert receiver.contains("child")
        assert not receiver.contains(b"secret")


def test_metrics() -> None:
    with OtlpReceiver() as receiver:
        exporter = OTLPMetricExporter(endpoint=f"{receiver.endpoint}/v1/metrics")
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1e9)
        provider = MeterProvider([reader], shutdown_on_exit=False)
        meter = provider.get_meter("m")
        histogram = meter.create_histogram("h", "s", explicit_bucket_boundaries_advisory=[1.0, 2.0])
        with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s") as span:
            histogram.record(0.5, {"k": "v"})
            histogram.record(5.0, {"k": "v"})
        meter.create_counter("c", "{call}").add(3)
        meter.create_up_down_counter("u").add(-2)
        meter.create_gauge("g").set(0.25)
        provider.force_flush()
        provider.force_flush()
        (h,), (c,), (u,), (g,) = (receiver.latest(name) for name in "hcug")
        assert h.histogram is not None
        assert (h.kind, h.unit, h.attributes, h.temporality) == ("histogram", "s", {"k": "v"}, "CUMULATIVE")
        assert (h.histogram.count, h.histogram.sum, h.histogram.bounds) == (2, 5.5, (1.0, 2.0))
        assert (h.histogram.bucket_counts, h.histogram.min, h.histogram.max) == ((1, 0, 1), 0.5, 5.0)
        assert {e.span_id for p in receiver.metrics for e in p.exemplars} == {f"{span.get_span_context().span_id:016x}"}
        assert (c.value, c.unit, c.is_monotonic, u.value, u.is_monotonic) == (3, "{call}", True, -2, False)
        assert (g.value, g.kind) == (0.25, "gauge")
        assert c.start_time <= c.time <= time.time()
        assert len([p for p in receiver.metrics if p.name == "c"]) == 2
        receiver.clear()
        assert (receiver.metrics, receiver.raw) == ([], [])
        provider.shutdown()


def test_log_records() -> None:
    fields = {"event_name": "e", "severity_text": "WARN", "severity_number": 13, "time_unix_nano": 1_500_000_000}
    body = logs(**fields, trace_id=b"\1" * 16, span_id=b"\2" * 8)
    with OtlpReceiver() as receiver:
        url, compressed = f"{receiver.endpoint}/v1/logs", gzip.compress(body)
        assert requests.post(url, compressed, headers={"Content-Encoding": "gzip"}, timeout=5).ok
        (record,) = receiver.logs
        assert (record.event_name, record.severity, record.severity_number) == ("e", "WARN", 13)
        assert (record.body, record.attributes, record.time) == ("text", {"stack": "File x"}, 1.5)
        assert (record.trace_id, record.span_id) == ("01" * 16, "02" * 8)
        assert receiver.raw[0].body == body
        for bad, headers in ((b"\xff\xff", {}), (b"no gzip", {"Content-Encoding": "gzip"})):
            assert requests.post(url, bad, headers=headers, timeout=5).status_code == 400


def test_refusing_and_hanging() -> None:
    with OtlpReceiver() as receiver:
        url = f"{receiver.endpoint}/v1/logs"
        receiver.answer(503)
        assert requests.post(url, logs(), timeout=5).status_code == 503
        assert (receiver.logs, len(receiver.raw)) == ([], 1)
        receiver.hang()
        with pytest.raises(requests.ReadTimeout):
            requests.post(url, logs(), timeout=0.2)
        threading.Timer(0.2, receiver.heal).start()
        assert requests.post(url, logs(), timeout=5).ok
        receiver.wait_for(lambda r: len(r.logs) == 2)  # the one that hung, too
        with pytest.raises(TimeoutError):
            receiver.wait_for(lambda r: r.spans, timeout=0.05)
        receiver.hang()
        threading.Timer(0.1, receiver.stop).start()
        start = time.monotonic()
        requests.post(url, logs(), timeout=5)
    assert time.monotonic() - start < 1.0


def test_as_a_program(tmp_path: Path) -> None:
    out = tmp_path / "telemetry.jsonl"
    command = [sys.executable, "-m", "testbed.otlp_receiver", "--port", "0", "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stderr is not None
            endpoint = program.stderr.readline().strip()
            assert requests.post(f"{endpoint}/v1/logs", logs(event_name="e"), timeout=5).ok
        finally:
            program.terminate()
        assert program.wait(5) == 0
    (line,) = out.read_text().splitlines()
    assert (json.loads(line)["type"], json.loads(line)["event_name"]) == ("log", "e")
