"""The facts about one call, gathered from its first step to its end."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span

from otel_consul import hooks
from otel_consul.background.clock import perf_counter
from otel_consul.call.call_types import CallType, LimitedCallType
from otel_consul.call.shared import Shared
from otel_consul.clients.seam import Sender
from otel_consul.consul_api.request import Query, hold
from otel_consul.metrics.series import Series
from otel_consul.network.connections import Silence
from otel_consul.phases import Clock
from otel_consul.semconv import DEFAULT_WAIT, Phase
from otel_consul.stacks.call_site import CallSite
from otel_consul.transports.limits import Limits

OTHER: Final = Phase.OTHER  # on the call path a class's attribute costs Python 3.11 more than a module's name


class CallState(Clock):
    """What is known of one call."""

    # Class attributes, so that a call that has none of it pays nothing for it.
    waiter: Any = None
    """Who waits for the answer: a `waiters.Waiter`."""
    origin: CallSite | None = None
    """Where the call was made, unless its waiter's stack shows that."""
    watched = False
    """Whether the monitor has seen it grow old."""
    future: Any = None
    """A weak reference that ends the call when the caller's future is dropped."""
    span: Span = INVALID_SPAN
    start_ns: int = 0
    """When it started, nanoseconds since the epoch."""
    hooked: hooks.Call | None = None
    """What hooks see of this call, if there are any."""
    answer: Any = None
    """The client's response object, once there is one."""
    raised = False
    """Whether the caller gets an exception."""
    span_started = False
    """Whether its span started, and its request hook ran, when the transport made the coroutine."""
    _callback: Any = None
    _token: Any = None
    context: Context | None = None
    """The OpenTelemetry context the call runs in: its span is the current one."""
    _previous_clock: Clock | None = None

    def __init__(
        self,
        shared: Shared,
        sender: Sender,
        call_type: CallType,
        limited: LimitedCallType,
        query: Query,
        attributes: dict[str, Any],
    ) -> None:
        self.shared = shared
        self.sender = sender
        self.type = call_type
        self.limited = limited
        self.query = query
        self.attributes = attributes
        # what Clock.__init__ does
        self.phase = OTHER
        self.times = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]

    @property
    def limits(self) -> Limits:
        """The time-outs in force."""
        return self.limited.limits

    # --- while it is open: what `in_flight` and `metrics` ask ------------------------------------------------------

    @property
    def operation(self) -> str:
        """The name of its operation."""
        return self.type.operation.name

    @property
    def blocking(self) -> bool:
        """Whether it is a blocking query."""
        return self.type.blocking

    @property
    def series(self) -> Series:
        """Where it is added up."""
        return self.type.series

    @property
    def wait(self) -> float | None:
        """Seconds Consul may hold it; None if it is no blocking query."""
        return (self.query.wait or DEFAULT_WAIT) if self.type.blocking else None

    @property
    def deadline(self) -> str | None:
        """What would stop it if the other side went silent; None where that is not known."""
        return self.limited.limits.deadline

    def at(self, elapsed: float) -> int:
        """The wall-clock time in nanoseconds, `elapsed` seconds after the start."""
        return self.start_ns + int(elapsed * 1e9)

    def silence(self) -> Silence | None:
        """Whose silence it hears while it waits for its answer; None where that cannot be known."""
        delay = self.delay
        found: Silence | None = None if delay is None or self.phase != Phase.WAIT else delay.silence()
        return found if self.phase == Phase.WAIT else None

    @property
    def keep_alive_advice(self) -> str:
        """How to switch TCP keep-alive on with its HTTP library."""
        sender: Sender | None = self.sender
        return "" if sender is None else str(sender.transport.keep_alive_advice)

    @property
    def age(self) -> float:
        """Seconds since the call started."""
        return perf_counter() - self.started

    def stalls_after(self, threshold: float) -> float:
        """The age in seconds beyond which this call is stalled: a blocking query may first be held."""
        return hold(self.query)[1] + threshold if self.type.blocking else threshold
