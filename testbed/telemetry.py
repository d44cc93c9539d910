"""Exported telemetry as plain frozen objects. Times are seconds since the epoch; *_ns are exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Scope:
    name: str
    version: str
    schema_url: str


@dataclass(frozen=True)
class Event:
    name: str
    time: float
    attributes: Attributes


@dataclass(frozen=True)
class Span:
    name: str
    kind: Literal["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    parent_id: str | None
    start: float
    end: float
    start_ns: int
    end_ns: int
    status: Literal["UNSET", "OK", "ERROR"]
    status_message: str
    attributes: Attributes
    events: tuple[Event, ...]
    links: tuple[tuple[str, str], ...]
    """(trace id, span id) of each."""
    resource: Attributes
    scope: Scope

    @property
    def duration(self) -> float:
        """Seconds."""
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True)
class Exemplar:
    value: float
    time: float
    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True)
class Histogram:
    count: int
    sum: float
    bounds: tuple[float, ...]
    bucket_counts: tuple[int, ...]
    min: float | None
    max: float | None


@dataclass(frozen=True)
class MetricPoint:
    name: str
    """The metric's."""
    kind: Literal["sum", "gauge", "histogram"]
    unit: str
    description: str
    attributes: Attributes
    value: float | None
    """None for a histogram."""
    histogram: Histogram | None
    exemplars: tuple[Exemplar, ...]
    start_time: float
    time: float
    is_monotonic: bool
    temporality: Literal["UNSPECIFIED", "DELTA", "CUMULATIVE"]
    resource: Attributes
    scope: Scope


@dataclass(frozen=True)
class LogRecord:
    event_name: str
    severity: str
    severity_number: int
    body: Any
    attributes: Attributes
    trace_id: str
    """"" outside any trace."""
    span_id: str
    time: float
    resource: Attributes
    scope: Scope
