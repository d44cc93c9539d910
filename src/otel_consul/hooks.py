"""The hooks a user may pass to `ConsulInstrumentor.instrument`, and what they see of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from opentelemetry.trace import Span

from otel_consul import guard

_FAULTS: Final = (Exception, SystemExit, asyncio.CancelledError)
"""What a hook raises itself. What else there is comes from outside while it runs, an interrupt or the end of a
greenlet, and is the program's."""


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


def run(name: str, hook: Callable[..., None], *args: Any) -> None:
    """Call a hook. Raises nothing that the hook does."""
    try:
        hook(*args)
    except _FAULTS:
        guard.hook_fault(name)
