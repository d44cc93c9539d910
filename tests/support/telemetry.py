"""An in-memory OpenTelemetry: what the plugin exported, for tests to look at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

Point = tuple[dict[str, Any], Any]
"""A data point: its attributes, and its value (a histogram's count)."""


class Telemetry:
    """Providers of a test's own, and what came through them."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def instrument(self, **settings: Any) -> None:
        """Switch the plugin on with these providers. The conftest switches it off after the test."""
        from otel_consul import ConsulInstrumentor

        ConsulInstrumentor().instrument(
            tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **settings
        )

    def uninstrument(self) -> None:
        from otel_consul import ConsulInstrumentor

        ConsulInstrumentor().uninstrument()

    @property
    def all_spans(self) -> list[ReadableSpan]:
        """Every finished span, a test's own and those of stalled calls too."""
        return list(self.exporter.get_finished_spans())

    @property
    def spans(self) -> list[ReadableSpan]:
        """The finished spans of Consul calls, in the order they ended."""
        return [
            span
            for span in self.all_spans
            if span.instrumentation_scope is not None
            and span.instrumentation_scope.name == "otel_consul"
            and not span.name.endswith(" stalled")
        ]

    @property
    def span(self) -> ReadableSpan:
        """The only Consul span there is."""
        (span,) = self.spans
        return span

    def clear(self) -> None:
        """Forget the spans so far. Metrics are cumulative and stay."""
        self.exporter.clear()

    def points(self, metric: str) -> list[Point]:
        """The metric's data points, as collected now; none if it does not exist."""
        data = self.reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), point.count if hasattr(point, "count") else point.value)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]

    def total(self, metric: str, **attributes: Any) -> float:
        """The sum over the metric's points that carry these attributes (`_` for `.` in a name is not translated)."""
        return float(sum(value for have, value in self.points(metric) if _carries(have, attributes)))

    def text(self) -> str:
        """Everything exported so far, as text: to look for what must not be there."""
        data = self.reader.get_metrics_data()
        return "\n".join([*(span.to_json() for span in self.all_spans), data.to_json() if data else ""])

    def shutdown(self) -> None:
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


def _carries(have: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(have.get(name) == value for name, value in wanted.items())


def events(span: ReadableSpan) -> dict[str, dict[str, Any]]:
    """A span's events by name, with their attributes."""
    return {event.name: dict(event.attributes or {}) for event in span.events}


def consul_required() -> bool:
    """Whether a missing Consul is an error: so in CI."""
    return os.environ.get("OTEL_CONSUL_REQUIRE_CONSUL") == "1"
