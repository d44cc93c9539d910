"""The hooks a user may pass to `ConsulInstrumentor.instrument`, and what they see of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from opentelemetry.trace import Span


class Call(NamedTuple):
    """One API call, as read before it is sent. Not exported; it may hold secrets the caller passed."""

    operation: str
    """`kv.get` ..., as in `consul.operation`."""
    method: str
    """The HTTP method."""
    path: str
    """The path as the client built it, not quoted: `/v1/kv/a b`."""
    params: Any
    """The query parameters as the client passed them: a list of pairs, a dict, or None."""
    blocking: bool
    """Whether this is a blocking query."""


class Response(NamedTuple):
    """What Consul answered."""

    status: int
    """The HTTP status."""
    headers: Mapping[str, str]
    """The response's headers, as the client's HTTP library represents them."""


class RequestHook(Protocol):
    """Called after the span has started and before the request is sent."""

    def __call__(self, span: Span, call: Call) -> None:
        """See one call start. An exception raised here is logged once and ignored."""


class ResponseHook(Protocol):
    """Called before the span ends."""

    def __call__(self, span: Span, call: Call, response: Response | None) -> None:
        """See one call end. `response` is None after an exception. An exception raised here is ignored."""
