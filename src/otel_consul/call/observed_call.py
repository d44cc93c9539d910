"""One call, from its first step to its end.

`begin` and one of `succeed` and `fail` are the whole life; sync, async and callback results differ only in when they
call them. None of them raises. Whoever ends a call first ends it: the second is ignored.
"""

from __future__ import annotations

from sys import modules
from time import time_ns
from typing import Any, Final

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import INVALID_SPAN, SpanKind, get_current_span, set_span_in_context

from otel_consul import guard, hooks
from otel_consul.background.clock import perf_counter
from otel_consul.background.os_threads import get_ident
from otel_consul.call.call_state import CallState
from otel_consul.call.call_types import LimitedCallType
from otel_consul.call.end import finish, finish_abandoned
from otel_consul.clients.seam import wraps
from otel_consul.deadlines import cancellation
from otel_consul.phases import CURRENT, Clock
from otel_consul.semconv import Deadline, Phase
from otel_consul.stacks import waiters
from otel_consul.transports.limits import Limits

# On the call path: a class's attribute costs Python 3.11 more than a module's name.
DECODE: Final = Phase.DECODE
NO_DEADLINE: Final = Deadline.NONE
CLIENT: Final = SpanKind.CLIENT
ON_SPAN: Final[dict[str, Any]] = {}
"""Stands for start attributes that the span has."""
SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""The context key of the current span; it has no public name."""


class ObservedCall(CallState):
    """One call, while it is observed."""

    # --- the start ------------------------------------------------------------------------------------------------

    def begin(  # noqa: PLR0912, PLR0915 -- a function more costs every call
        self, context: Context, outer: Clock | None, task: Any = None, since: float | None = None
    ) -> None:
        """The work starts now, in `context` and `outer`, the current ones: in this thread, or in `task` at its first step.

        Unless it has been going on `since` then, a `perf_counter` reading.
        """
        try:
            shared, call_type, limited = self.shared, self.type, self.limited
            self.start_ns = start_ns = time_ns()
            self.started = self.last = perf_counter()
            if since is not None:
                self.start_ns = start_ns = start_ns - int((self.started - since) * 1e9)
                self.started = self.last = since
            shared.begun(limited.started)
            if self.waiter is None:
                self.waiter = get_ident() if "greenlet" not in modules else waiters.thread()
            if call_type.spans == "all":
                try:
                    if self.span_started:
                        span = self.span
                    else:
                        self.span = span = shared.start_span(
                            call_type.operation.name, context, CLIENT, self.attributes, start_time=start_ns
                        )
                except Exception:  # noqa: BLE001 -- a sampler or a span processor failed: the call is counted without
                    guard.fault("starting a span")
                    span = get_current_span(context)
                self.attributes = ON_SPAN  # the span has its own copy; an open call should be small
                if context or shared.suppress_http_keys:
                    context = Context({**context, SPAN_KEY: span, **shared.suppress_http_keys})
                else:
                    context = Context({SPAN_KEY: span})
                on_first_span = shared.on_first_span
                if on_first_span is not None and self.span.is_recording():
                    shared.on_first_span = None
                    on_first_span()
            elif shared.suppress_http_keys:
                context = Context({**context, **shared.suppress_http_keys})
            if shared.local_delay is not None:
                shared.local_delay.call_started(self, task)
            if limited.limits.deadline == NO_DEADLINE:
                remedies, transport = self.sender.client.deadline_advice, self.sender.transport.name
                shared.missing_deadlines.noted(call_type.operation.name, self.origin, remedies, transport)
            self.context = context
            shared.registry[self] = None  # not before: whoever finds a call there may end its span
            background = shared.background  # what Background.nudge does
            background.nudged = True
            if background.asleep:
                background.rouse()
            self._token = attach(context)
            self._previous_clock = outer
            if self.hooked is not None and shared.settings.request_hook is not None and not self.span_started:
                CURRENT.set(None)  # what the hook sends, or starts with a copy of the context, is no part of any call
                hooks.run("request_hook", shared.settings.request_hook, self.span, self.hooked)
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

    def _release_if_current(self) -> None:
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
        self.span_started = True
        if self.delay is not None:
            self.delay.drop()
            self.delay = None
        if self.shared.registry.close(self):
            self.shared.totals.forget(self.limited.started)
        self.release()

    def bound_by_task(self) -> None:
        """Take an enclosing `asyncio.timeout` into account: it stops this call whatever the transport allows."""
        set_on_client = self.limits
        if set_on_client.deadline != Deadline.TOTAL and (left := cancellation.remaining()) is not None:
            limits = Limits(Deadline.TOTAL, set_on_client.connect, set_on_client.read, left)
            self.limited = LimitedCallType(self.type, limits)
            if self.attributes is ON_SPAN:
                self.span.set_attributes(limits.attributes)
            else:
                self.attributes.update(limits.attributes)

    def includes(self, other: ObservedCall) -> bool:
        """Whether `other`, about to start while this one runs, is the same request, passed on by a wrapping transport."""
        return (
            self.shared is other.shared
            and self.type.operation is other.type.operation
            and wraps(self.sender.http, other.sender.http)
        )

    def is_left_alone(self, context: Context, outer: Clock | None) -> bool:
        """Whether this call is not to be observed after all, now that its work is about to start."""
        if isinstance(outer, ObservedCall) and outer.running and outer.includes(self):
            return True
        return self.sender.seam.removed or (bool(context) and any(context.get(key) for key in self.shared.suppressing))

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
            if self.shared.registry.pop(self, self) is None:
                if not self.sender.client.calls_back:
                    self.answer = result
                finish(self, None)
        except Exception:  # noqa: BLE001
            guard.fault("result a call")
        finally:
            self.release()

    def fail(self, exc: BaseException) -> None:
        """The caller gets an exception."""
        abandoned = False
        try:
            abandoned = self.shared.registry.pop(self, self) is not None
            if not abandoned:
                finish(self, exc)
        except Exception:  # noqa: BLE001
            guard.fault("result a failed call")
        finally:
            if abandoned or isinstance(exc, GeneratorExit):
                self._release_if_current()
            else:
                self.release()

    def abandon(self) -> None:
        """Nobody will end this call any more: the process ends, or the plugin is removed."""
        try:
            if self.shared.registry.close(self):
                finish_abandoned(self, self.stop(), "still running when observation ended")
        except Exception:  # noqa: BLE001
            guard.fault("abandoning a call")

    def finish_dropped(self, elapsed: float) -> None:
        """End a call that was dropped after `elapsed` seconds."""
        finish_abandoned(self, elapsed, "still running when its caller let go of it")

    def drop(self) -> None:
        """Its caller has let go of it: to be ended by the background thread.

        Not here: garbage may be collected, and this run, while this thread holds any lock, the SDK's too.
        """
        try:
            shared = self.shared
            if shared.registry.close(self):
                self.future = None
                shared.dropped.add(self, self.stop())
        except Exception:  # noqa: BLE001
            guard.fault("dropping a call")
        finally:
            self._release_if_current()
