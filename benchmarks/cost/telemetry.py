"""Providers that export to nowhere, the plugin switched on for a while, and the floor."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context

from otel_consul import ConsulInstrumentor
from otel_consul.metrics.definitions import DURATION, DURATION_BOUNDARIES


class NullExporter(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Providers:
    """A program's SDK."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(BatchSpanProcessor(NullExporter()))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)

    @property
    def tracer(self) -> Tracer:
        return self.tracer_provider.get_tracer("floor")

    def histogram(self) -> Histogram:
        """One like the plugin's."""
        return self.meter_provider.get_meter("floor").create_histogram(
            DURATION.name, unit="s", explicit_bucket_boundaries_advisory=DURATION_BOUNDARIES
        )

    @contextmanager
    def plugin(self, **options: Any) -> Iterator[None]:
        with plugin(tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **options):
            yield

    def shutdown(self) -> None:
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


@contextmanager
def plugin(**options: Any) -> Iterator[None]:
    """The plugin, on."""
    instrumentor = ConsulInstrumentor()
    instrumentor.instrument(**options)
    try:
        yield
    finally:
        instrumentor.uninstrument()


class Facts(NamedTuple):
    """What one call exports."""

    name: str
    start: dict[str, Any]
    end: dict[str, Any]
    point: dict[str, Any]
    """The attributes of the duration's data point."""
    seconds: float


class _Capture(SpanProcessor):
    def __init__(self) -> None:
        self.started: dict[str, Any] = {}
        self.seen: list[tuple[dict[str, Any], ReadableSpan]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.started = dict(span.attributes or {})

    def on_end(self, span: ReadableSpan) -> None:
        self.seen.append((self.started, span))


def facts(run: Callable[[int], None], times: int = 101) -> Facts:
    """What a call typically exports, read off real spans: the floor cannot drift from the plugin."""
    capture = _Capture()
    provider, reader = TracerProvider(shutdown_on_exit=False), InMemoryMetricReader()
    provider.add_span_processor(capture)
    meter_provider = MeterProvider([reader], shutdown_on_exit=False)
    with plugin(tracer_provider=provider, meter_provider=meter_provider):
        run(times)
        point = _point(reader)
    usual = statistics.mode(frozenset(span.attributes or {}) for _, span in capture.seen)
    start, span = next(pair for pair in capture.seen if frozenset(pair[1].attributes or {}) == usual)
    end = {name: value for name, value in (span.attributes or {}).items() if name not in start}
    return Facts(span.name, start, end, point, ((span.end_time or 0) - (span.start_time or 0)) / 1e9)


def _point(reader: InMemoryMetricReader) -> dict[str, Any]:
    data = reader.get_metrics_data()
    assert data is not None
    return next(
        dict(point.attributes or {})
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == DURATION.name
        for point in metric.data.data_points
    )


def floor(call: Callable[[], Any], known: Facts, providers: Providers) -> Callable[[], None]:
    """`call` with a bare span and one record."""
    start_span, record = providers.tracer.start_span, providers.histogram().record
    name, start, end, point, seconds = known

    def one() -> None:
        span = start_span(name, None, SpanKind.CLIENT, start)
        call()
        span.set_attributes(end)
        record(seconds, point, set_span_in_context(span))
        span.end()

    return one


def usual(call: Callable[[], Any], known: Facts, providers: Providers) -> Callable[[], None]:
    """The same by the means that instrumentations usually take: a current span, its last attributes one by one."""
    start, record = providers.tracer.start_as_current_span, providers.histogram().record
    name, first, last, point, seconds = known

    def one() -> None:
        with start(name, kind=SpanKind.CLIENT, attributes=first) as span:
            call()
            for key, value in last.items():
                span.set_attribute(key, value)
            record(seconds, point)

    return one


def async_floor(call: Callable[[], Any], known: Facts, providers: Providers) -> Callable[[], Any]:
    """As `floor`, awaiting what `call` gives."""
    start_span, record = providers.tracer.start_span, providers.histogram().record
    name, start, end, point, seconds = known

    async def one() -> None:
        span = start_span(name, None, SpanKind.CLIENT, start)
        await call()
        span.set_attributes(end)
        record(seconds, point, set_span_in_context(span))
        span.end()

    return one
