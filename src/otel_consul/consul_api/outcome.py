"""How a call ended that Consul answered. Pure: nothing here knows spans, metrics or HTTP libraries."""

from __future__ import annotations

from typing import Any

from otel_consul.semconv import Outcome


def of_answer(operation: str, status: int, body: Any, *, write: bool) -> str:
    """The outcome of an answer that the client library turned into a value."""
    if status < 400:  # noqa: PLR2004
        return Outcome.NOT_APPLIED if write and _is_false(body) else Outcome.OK
    if status == 404:  # noqa: PLR2004
        return Outcome.NOT_FOUND
    # unhealthy is what these endpoints are asked to tell
    if status in (429, 503) and operation.startswith(("agent.health.", "operator.autopilot.health")):
        return Outcome.OK
    return Outcome.ERROR


def _is_false(body: Any) -> bool:
    if isinstance(body, (str, bytes)):
        return len(body) < 8 and body.strip() in ("false", b"false")  # noqa: PLR2004 -- never scan a value
    return body is False
