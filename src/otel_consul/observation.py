"""One call, from its first step to its end: the facts gathered about it, and what is made of them.

`begin` and one of `succeed` and `fail` are the whole life; sync, async and callback doors differ only in when they call
them. None of them raises. Whoever ends a call first ends it: the second is ignored.
"""

from __future__ import annotations

from sys import modules
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, get_current_span, set_span_in_context

from otel_consul import deadlines, guard, hooks, stacks
from otel_consul.ending import finish, finish_abandoned
from otel_consul.os_threads import get_ident
from otel_consul.params import Query, hold
from otel_consul.phases import CURRENT, Clock
from otel_consul.plans import Kind, Plan
from otel_consul.seam import wraps
from otel_consul.semconv import Deadline, Phase
from otel_consul.transports.limits import Limits

if TYPE_CHECKING:
    from otel_consul.recorder import Recorder
    from otel_consul.seam import Client, Wiring


# On the call path: a class's attribute costs Python 3.11 more than a module's name.
DECODE: Final = Phase.DECODE
OTHER: Final = Phase.OTHER
NO_DEADLINE: Final = Deadline.NONE
CLIENT: Final = SpanKind.CLIENT
GIVEN: Final[dict[str, Any]] = {}
"""Stands for start attributes that the span has."""
SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""The context key of the current span; it has no public name."""


class Observation(Clock):
    """One observed call."""

    # Class attributes, so that a call that has none of it pays nothing for it.
    waiter: Any = None
    """Who waits for the answer: a `stacks.Waiter`."""
    origin: stacks.Place | None = None
    """Where the call was made, unless its waiter's stack shows that."""
    transport = ""
    """The name of the HTTP library that does it; only of a call without a deadline."""
    watched = False
    """Whether the monitor has seen it grow old."""
    keeper: Any = None
    """A weak reference that ends the call when the caller's future is dropped."""
    span: Span = INVALID_SPAN
    hooked: hooks.Call | None = None
    """What hooks see of this call, if there are any."""
    answer: Any = None
    """The client's response object, once there is one."""
    raised = False
    """Whether the caller gets an exception."""
    early = False
    """Whether its span started, and its request hook ran, when the transport made the coroutine."""
    _callback: Any = None
    _token: Any = None
    context: Context | None = None
    """The OpenTelemetry context the call runs in: its span is the current one."""
    _previous_clock: Clock | None = None

    def __init__(
        self,
        recorder: Recorder,
        wiring: Wiring,
        plan: Plan,
        kind: Kind,
        query: Query,
        attributes: dict[str, Any],
    ) -> None:
        self.recorder = recorder
        self.wiring = wiring
        self.plan = plan
        self.kind = kind
        self.query = query
        self.attributes = attributes
        # what Clock.__init__ does
        self.phase = OTHER
        self.times = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]

    # --- the start ------------------------------------------------------------------------------------------------

    def begin(  # noqa: PLR0912 -- a function more costs every call
        self, context: Context, outer: Clock | None, task: Any = None, since: float | None = None
    ) -> None:
        """The work starts now, in `context` and `outer`, the current ones: in this thread, or in `task` at its first step.

        Unless it has been going on `since` then, a `perf_counter` reading.
        """
        try:
            recorder, plan, kind = self.recorder, self.plan, self.kind
            self.start_ns = start_ns = time_ns()
            self.started = self.last = perf_counter()
            if since is not None:
                self.start_ns = start_ns = start_ns - int((self.started - since) * 1e9)
                self.started = self.last = since
            recorder.begun(kind.started)
            if self.waiter is None:
                self.waiter = get_ident() if "greenlet" not in modules else stacks.thread()
            if plan.spans == "all":
                try:
                    if self.early:
                        span = self.span
                    else:
                        self.span = span = recorder.start_span(
                            plan.operation.name, context, CLIENT, self.attributes, start_time=start_ns
                        )
                except Exception:  # noqa: BLE001 -- a sampler or a span processor failed: the call is counted without
                    guard.fault("starting a span")
                    span = get_current_span(context)
                self.attributes = GIVEN  # the span has its own copy; an open call should be small
                if context or recorder.suppress_http_keys:
                    context = Context({**context, SPAN_KEY: span, **recorder.suppress_http_keys})
                else:
                    context = Context({SPAN_KEY: span})
                if recorder.on_first_span is not None and self.span.is_recording():
                    recorder.on_first_span()
            elif recorder.suppress_http_keys:
                context = Context({**context, **recorder.suppress_http_keys})
            if recorder.local_delay is not None:
                recorder.local_delay.call_started(self, task)
            if kind.limits.deadline == NO_DEADLINE:
                recorder.advice.give(self)
            self.context = context
            recorder.registry[self] = None  # not before: whoever finds a call there may end its span
            background = recorder.background  # what Background.nudge does
            background.nudged = True
            if background.asleep:
                background.rouse()
            self._token = attach(context)
            self._previous_clock = outer
            if self.hooked is not None and recorder.settings.request_hook is not None and not self.early:
                CURRENT.set(None)  # what the hook sends, or starts with a copy of the context, is no part of any call
                hooks.run("request_hook", recorder.settings.request_hook, self.span, self.hooked)
            CURRENT.set(self)
            self.running = True
        except Exception:  # noqa: BLE001
            guard.fault("starting a call")

    def release(self) -> None:
        """The caller's own code goes on; the call does too."""
        token = self._token
        if token is not None:
            self._token = None
            CURRENT.set(self._previous_clock)
            self._previous_clock = None
            detach(token)

    def _forsake(self) -> None:
        """As `release`, for code that may run in another context than `begin` did: a generator being collected."""
        token, self._token = self._token, None
        if token is not None and get_current() is self.context:
            self._token = token
            self.release()

    def postpone(self) -> None:
        """Undo `begin`, but for the span and what its hook did: the transport only made a coroutine, nothing has started.

        If it never does, the span never ends and is not exported. It is the first call of a class of transports.
        """
        self.running = False
        self.early = True
        if self.delay is not None:
            self.delay.drop()
            self.delay = None
        if self.recorder.registry.close(self):
            self.recorder.totals.forget(self.kind.started)
        self.release()

    def bound_by_task(self) -> None:
        """Take an enclosing `asyncio.timeout` into account: it stops this call whatever the transport allows."""
        set_on_client = self.limits
        if set_on_client.deadline != Deadline.TOTAL and (left := deadlines.remaining()) is not None:
            limits = Limits(Deadline.TOTAL, set_on_client.connect, set_on_client.read, left)
            self.kind = Kind(self.plan, limits)
            if self.attributes is GIVEN:
                self.span.set_attributes(limits.attributes)
            else:
                self.attributes.update(limits.attributes)

    def includes(self, other: Observation) -> bool:
        """Whether `other`, about to start while this one runs, is the same request, passed on by a wrapping transport."""
        wiring = self.wiring
        return (
            self.recorder is other.recorder
            and self.plan.operation is other.plan.operation
            and wraps(wiring.http, other.wiring.http)
        )

    # --- the answer -----------------------------------------------------------------------------------------------

    def answer_to(self, callback: Any) -> Any:
        """A callback for the transport that notes the answer and passes it on to `callback`."""
        self._callback = callback
        return self.answered

    def answered(self, *args: Any, **kwargs: Any) -> Any:
        """The transport has the answer; what remains is the client's decoding."""
        try:
            if self.phase != DECODE:  # else the transport has said so
                if self.delay is not None:
                    self.delay.received(self)
                self.mark(DECODE)
            self.answer = args[0] if args else next(iter(kwargs.values()), None)
        except Exception:  # noqa: BLE001
            guard.fault("reading an answer")
        return self._callback(*args, **kwargs)

    # --- the end --------------------------------------------------------------------------------------------------

    def succeed(self, result: Any) -> None:
        """The caller gets a value."""
        try:
            if self.recorder.registry.pop(self, self) is None:
                if not self.wiring.client.calls_back:
                    self.answer = result
                finish(self, None)
        except Exception:  # noqa: BLE001
            guard.fault("ending a call")
        finally:
            self.release()

    def fail(self, exc: BaseException) -> None:
        """The caller gets an exception."""
        abandoned = False
        try:
            abandoned = self.recorder.registry.pop(self, self) is not None
            if not abandoned:
                finish(self, exc)
        except Exception:  # noqa: BLE001
            guard.fault("ending a failed call")
        finally:
            if abandoned or isinstance(exc, GeneratorExit):
                self._forsake()
            else:
                self.release()

    def abandon(self) -> None:
        """Nobody will end this call any more: the process ends, or the plugin is removed."""
        try:
            if self.recorder.registry.close(self):
                finish_abandoned(self, self.stop(), "still running when observation ended")
        except Exception:  # noqa: BLE001
            guard.fault("abandoning a call")

    def drop(self) -> None:
        """Its caller has let go of it: to be ended by the background thread.

        Not here: garbage may be collected, and this run, while this thread holds any lock, the SDK's too.
        """
        try:
            recorder = self.recorder
            if recorder.registry.close(self):
                self.keeper = None
                recorder.dropped.add(self, self.stop())
        except Exception:  # noqa: BLE001
            guard.fault("dropping a call")
        finally:
            self._forsake()

    @property
    def client(self) -> Client:
        """The client library."""
        return self.wiring.client

    @property
    def limits(self) -> Limits:
        """The time-outs in force."""
        return self.kind.limits

    # --- while it is open -----------------------------------------------------------------------------------------

    def at(self, elapsed: float) -> int:
        """The wall-clock time in nanoseconds, `elapsed` seconds after the start."""
        return self.start_ns + int(elapsed * 1e9)

    @property
    def age(self) -> float:
        """Seconds since the call started."""
        return perf_counter() - self.started

    def stalls_after(self, threshold: float) -> float:
        """The age in seconds beyond which this call is stalled: a blocking query may first be held."""
        return hold(self.query)[1] + threshold if self.plan.blocking else threshold
