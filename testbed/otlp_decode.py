"""OTLP's protobuf messages into the objects of `telemetry`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from testbed.telemetry import Attributes, Event, Exemplar, Histogram, LogRecord, MetricPoint, Scope, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

Temporality = Literal["UNSPECIFIED", "DELTA", "CUMULATIVE"]
_TEMPORALITIES: tuple[Temporality, ...] = ("UNSPECIFIED", "DELTA", "CUMULATIVE")


def spans(body: bytes) -> Iterator[Span]:
    """DecodeError (a ValueError or Exception of protobuf's) when the bytes are no such message; so for all three."""
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        shared = _attributes(resource.resource.attributes)
        for group in resource.scope_spans:
            scope = _scope(group.scope, group.schema_url)
            for span in group.spans:
                yield _span(span, shared, scope)


def metric_points(body: bytes) -> Iterator[MetricPoint]:
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        shared = _attributes(resource.resource.attributes)
        for group in resource.scope_metrics:
            scope = _scope(group.scope, group.schema_url)
            for metric in group.metrics:
                yield from _points(metric, shared, scope)


def log_records(body: bytes) -> Iterator[LogRecord]:
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        shared = _attributes(resource.resource.attributes)
        for group in resource.scope_logs:
            scope = _scope(group.scope, group.schema_url)
            for record in group.log_records:
                attributes = _attributes(record.attributes)
                # The field is younger than the oldest protocol package we meet; before, it was an attribute.
                name = str(getattr(record, "event_name", "") or attributes.get("event.name", ""))
                yield LogRecord(
                    event_name=name,
                    severity=record.severity_text,
                    severity_number=record.severity_number,
                    body=_value(record.body),
                    attributes=attributes,
                    trace_id=record.trace_id.hex(),
                    span_id=record.span_id.hex(),
                    time=(record.time_unix_nano or record.observed_time_unix_nano) / 1e9,
                    resource=shared,
                    scope=scope,
                )


def _span(span: SpanMessage, resource: Attributes, scope: Scope) -> Span:
    kind: Any = SpanMessage.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
    status: Any = Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_")
    return Span(
        name=span.name,
        kind=kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=status,
        status_message=span.status.message,
        attributes=_attributes(span.attributes),
        events=tuple(Event(e.name, e.time_unix_nano / 1e9, _attributes(e.attributes)) for e in span.events),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        resource=resource,
        scope=scope,
    )


def _points(metric: pb.Metric, resource: Attributes, scope: Scope) -> Iterator[MetricPoint]:
    kind: Any = metric.WhichOneof("data")
    if kind not in ("sum", "gauge", "histogram"):
        return  # nothing here emits the others
    data = getattr(metric, kind)
    for point in data.data_points:
        histogram = _histogram(point) if kind == "histogram" else None
        yield MetricPoint(
            name=metric.name,
            kind=kind,
            unit=metric.unit,
            description=metric.description,
            attributes=_attributes(point.attributes),
            value=None if histogram else _number(point),
            histogram=histogram,
            exemplars=tuple(_exemplar(e) for e in point.exemplars),
            start_time=point.start_time_unix_nano / 1e9,
            time=point.time_unix_nano / 1e9,
            is_monotonic=kind == "sum" and data.is_monotonic,
            temporality=_TEMPORALITIES[0 if kind == "gauge" else data.aggregation_temporality],
            resource=resource,
            scope=scope,
        )


def _histogram(point: pb.HistogramDataPoint) -> Histogram:
    return Histogram(
        count=point.count,
        sum=point.sum,
        bounds=tuple(point.explicit_bounds),
        bucket_counts=tuple(point.bucket_counts),
        min=point.min if point.HasField("min") else None,
        max=point.max if point.HasField("max") else None,
    )


def _exemplar(exemplar: pb.Exemplar) -> Exemplar:
    return Exemplar(
        value=_number(exemplar),
        time=exemplar.time_unix_nano / 1e9,
        trace_id=exemplar.trace_id.hex(),
        span_id=exemplar.span_id.hex(),
        attributes=_attributes(exemplar.filtered_attributes),
    )


def _number(point: pb.NumberDataPoint | pb.Exemplar) -> float:
    return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double


def _scope(scope: InstrumentationScope, schema_url: str) -> Scope:
    return Scope(scope.name, scope.version, schema_url)


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return tuple(_value(v) for v in value.array_value.values)
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case kind:
            return getattr(value, kind)
