"""Providers of the process: none, late, the same again, and HTTP instrumentations beside ours."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from tests.process.conftest import CALL, LOGGING, Finished, Run

pytest.importorskip("consul")

WANTS_REQUESTS = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.instrumentation.requests") is None,
    reason="opentelemetry-instrumentation-requests is not installed",
)
SDK = """
import consul, json, sys, logging
from opentelemetry import trace, metrics
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_consul import ConsulInstrumentor
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracers, meters = TracerProvider(), MeterProvider([reader])
tracers.add_span_processor(SimpleSpanProcessor(exporter))
plugin, get = ConsulInstrumentor(), lambda: consul.Consul().kv.get("a")

def report():
    data = reader.get_metrics_data()
    found = {}
    for r in (data.resource_metrics if data else ()):
        for s in r.scope_metrics:
            for m in s.metrics:
                for p in m.data.data_points:
                    v = p.count if hasattr(p, "count") else p.value
                    found[m.name] = found.get(m.name, 0) + v
    spans = exporter.get_finished_spans()
    print(json.dumps({"spans": [s.name for s in spans], "metrics": found,
        "parents": [next((o.name for o in spans if s.parent and o.context.span_id == s.parent.span_id), None)
                    for s in spans]}))
"""


def reports(done: Finished) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]


def counted(report: dict[str, Any]) -> tuple[int, float, float]:
    """(spans, durations, started calls)."""
    found = report["metrics"]
    return (
        len(report["spans"]),
        found.get("consul.client.operation.duration", 0),
        found.get("consul.client.operations", 0),
    )


def test_no_sdk_at_all(run: Run) -> None:
    done = run(LOGGING + "from otel_consul import ConsulInstrumentor\nConsulInstrumentor().instrument()\n" + CALL)

    assert done.code == 0, done.err
    assert "VALUE {" in done.out
    assert done.own_lines == []


def test_providers_set_after_instrument(run: Run) -> None:
    done = run(
        SDK
        + """
plugin.instrument()
get()
trace.set_tracer_provider(tracers); metrics.set_meter_provider(meters)
get()
report()
"""
    )

    (report,) = reports(done)
    spans, durations, started = counted(report)
    assert (spans, durations) == (1, 1)
    assert started == 2  # totals are the plugin's own: the first call is in them


def test_again_with_the_same_providers(run: Run) -> None:
    done = run(
        SDK
        + """
for _ in range(3):
    plugin.instrument(tracer_provider=tracers, meter_provider=meters)
    get()
    report()
    plugin.uninstrument()
    get()
"""
    )

    seen = [counted(report) for report in reports(done)]
    assert [spans for spans, _, _ in seen] == [1, 2, 3]
    assert [durations for _, durations, _ in seen] == [1, 2, 3]
    assert [started for _, _, started in seen] == [1, 1, 1]  # a counter that starts again with the plugin
    assert "already" not in done.err


def test_again_after_global_providers_came_late(run: Run) -> None:
    done = run(
        SDK
        + """
plugin.instrument()
trace.set_tracer_provider(tracers); metrics.set_meter_provider(meters)
get()
plugin.uninstrument()
plugin.instrument()
get(); get()
report()
"""
    )

    (report,) = reports(done)
    assert counted(report) == (3, 3, 2)
    assert "already" not in done.err


def test_twice_is_once_and_off_twice_is_off(run: Run) -> None:
    done = run(
        SDK
        + """
options = dict(tracer_provider=tracers, meter_provider=meters)
plugin.instrument(**options); ConsulInstrumentor().instrument(**options)
get()
report()
plugin.uninstrument(); plugin.uninstrument()
get()
report()
"""
    )

    once, off = reports(done)
    assert counted(once) == (1, 1, 1)
    assert counted(off)[:2] == (1, 1)


@WANTS_REQUESTS
@pytest.mark.parametrize(
    ("suppress", "spans", "parents"),
    [(False, ["GET", "kv.get"], ["kv.get", None]), (True, ["kv.get"], [None])],
)
def test_spans_of_the_http_library_nest_or_are_silenced(
    run: Run, suppress: bool, spans: list[str], parents: list[str]
) -> None:
    done = run(
        SDK
        + f"""
from opentelemetry.instrumentation.requests import RequestsInstrumentor
RequestsInstrumentor().instrument(tracer_provider=tracers)
plugin.instrument(tracer_provider=tracers, meter_provider=meters, suppress_http={suppress})
get()
report()
import requests
requests.get(consul.Consul().http.base_uri + "/v1/status/leader")  # not a Consul call: seen in any case
print("AFTER", [s.name for s in exporter.get_finished_spans()])
"""
    )

    (report,) = reports(done)
    assert (report["spans"], report["parents"]) == (spans, parents)
    assert f"AFTER {[*spans, 'GET']}" in done.out


BROKEN = """
class Broken:
    def get_tracer(self, *args, **kwargs): raise RuntimeError("no tracer")
    def get_meter(self, *args, **kwargs): raise RuntimeError("no meter")
    def get_logger(self, *args, **kwargs): raise RuntimeError("no logger")
"""


def test_broken_providers_break_nothing(run: Run) -> None:
    done = run(
        LOGGING
        + SDK
        + BROKEN
        + """
plugin.instrument(tracer_provider=Broken(), meter_provider=Broken())
print("VALUE", get()[1]["Value"])
plugin.uninstrument()
print("VALUE", get()[1]["Value"])
"""
    )

    assert done.code == 0, done.err
    assert done.out.splitlines() == ["VALUE b'1'"] * 2
    assert len(done.own_lines) == 2  # the meter, and the tracer


SHAPES = """
class Proxy:
    def __init__(self, inner): self._inner = inner
    def __getattr__(self, name): return getattr(self._inner, name)
class Unhashable(Proxy):
    def __eq__(self, other): return NotImplemented
class AllEqual(Proxy):
    def __eq__(self, other): return True
    def __hash__(self): return 1
class Slots:
    __slots__ = ("_inner",)
    def __init__(self, inner): self._inner = inner
    def __getattr__(self, name): return getattr(self._inner, name)
class False_(Proxy):
    def __bool__(self): return False
"""


@pytest.mark.parametrize("shape", ["Unhashable", "AllEqual", "Slots", "False_"])
def test_providers_may_be_of_any_shape(shape: str, run: Run) -> None:
    """Distributions put proxies in their place."""
    done = run(
        LOGGING
        + SDK
        + SHAPES
        + f"""
others = {shape}(MeterProvider([InMemoryMetricReader()]))
for _ in range(2):
    plugin.instrument(tracer_provider={shape}(tracers), meter_provider={shape}(others._inner))
    plugin.uninstrument()
proxy = {shape}(meters)
for _ in range(2):
    plugin.instrument(tracer_provider={shape}(tracers), meter_provider=proxy)
    get()
    plugin.uninstrument()
report()
"""
    )

    (found,) = reports(done)
    assert (found["spans"], found["metrics"]["consul.client.operation.duration"]) == (["kv.get"] * 2, 2)
    assert not done.own_lines


def test_what_one_provider_cannot_do_takes_nothing_from_the_others(run: Run) -> None:
    done = run(
        LOGGING
        + SDK
        + BROKEN
        + """
plugin.instrument(tracer_provider=tracers, meter_provider=Broken(), logger_provider=Broken())
get()
plugin.uninstrument()
report()
plugin.instrument(tracer_provider=Broken(), meter_provider=meters)
get()
report()
"""
    )

    spans_only, both = reports(done)
    assert spans_only["spans"] == ["kv.get"]
    assert not spans_only["metrics"]
    assert both["spans"] == ["kv.get"]
    assert both["metrics"]["consul.client.operation.duration"] == 1


def test_broken_processor_and_sampler_break_no_call(run: Run) -> None:
    done = run(
        LOGGING
        + SDK
        + """
from opentelemetry.sdk.trace import SpanProcessor
class Broken(SpanProcessor):
    def on_start(self, span, parent_context=None): raise RuntimeError("on_start")
    def on_end(self, span): raise RuntimeError("on_end")
tracers.add_span_processor(Broken())
plugin.instrument(tracer_provider=tracers, meter_provider=meters)
print("VALUE", get()[1]["Value"], get()[1]["Value"])
ctx = trace.get_current_span().get_span_context()
print("CONTEXT", ctx.is_valid)
"""
    )

    assert done.code == 0, done.err
    assert done.out.splitlines() == ["VALUE b'1' b'1'", "CONTEXT False"]
