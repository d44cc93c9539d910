"""Sends what the trial call left to the endpoint for real, by the very exporters a program would use."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_consul.doctor.call import spans_of
from otel_consul.doctor.display import seconds
from otel_consul.doctor.finding import METRICS, TRACES, Finding, blocked, ok, warning
from otel_consul.doctor.otlp import Endpoint
from otel_consul.doctor.sdk import entry_points
from otel_consul.doctor.trial import Trial
from otel_consul.redact import describe

_SECONDS: Final = 3.0
"""How long one export may take."""
_NOUNS: Final[Mapping[str, str]] = {TRACES: "The span", METRICS: "The batch of metrics"}


def send(trial: Trial, endpoints: Sequence[Endpoint]) -> list[Finding]:
    """One finding for each endpoint."""
    data: dict[str, Any] = {TRACES: spans_of(trial), METRICS: trial.metrics()}
    if not data[TRACES]:
        return [warning("send.nothing", "There is nothing to send: no call left a span.")]
    trace = f"{data[TRACES][-1].context.trace_id:032x}"
    return [_one(endpoint, data[endpoint.signal], trace) for endpoint in endpoints]


def _one(endpoint: Endpoint, data: Any, trace: str) -> Finding:
    noun, facts = _NOUNS[endpoint.signal], {"signal": endpoint.signal, "trace_id": trace}
    points = [one for one in entry_points(f"opentelemetry_{endpoint.signal}_exporter") if one.name == endpoint.kind]
    began = time.monotonic()
    try:
        exporter = points[0].load()(timeout=_SECONDS)
        result = exporter.export(data)
        exporter.shutdown()
    except Exception as exc:  # noqa: BLE001 -- of an exporter's set-up
        return blocked(
            "send.failed", f"{noun} could not be sent to {endpoint.shown}: {describe(exc)}.", [endpoint.signal]
        )
    if getattr(result, "name", "") != "SUCCESS":
        return blocked("send.failed", f"{noun} was not taken at {endpoint.shown}.", [endpoint.signal], **facts)
    took = seconds(time.monotonic() - began)
    name = f": look for trace {trace}" if endpoint.signal == TRACES else ""
    return ok("send.ok", f"{noun} was sent to {endpoint.shown} in {took}{name}.", **facts)
