"""`observe(call)`: the doors a call comes in by, and everything it is recorded with.

A call may give its value (sync), a coroutine that does nothing until it is awaited (asyncio), or a future that is
already at work (tornado, twisted). What a caller gets, raised or returned, is what the transport gave; a coroutine is
replaced by one that gives the same when awaited.
"""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, get_current
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation

from otel_consul import deadlines, guard, hooks, semconv
from otel_consul.advice import Advice
from otel_consul.background import LINGER, Background
from otel_consul.doors import later, lazily, watch, with_callback
from otel_consul.dropped import Dropped
from otel_consul.inflight import Registry
from otel_consul.local_delay import LocalDelay
from otel_consul.metrics import Instruments
from otel_consul.observation import Observation
from otel_consul.operations import lookup
from otel_consul.params import blocking, read
from otel_consul.phases import CURRENT, Clock
from otel_consul.plans import Plans
from otel_consul.seam import Client, Generation, Wiring
from otel_consul.settings import Settings
from otel_consul.totals import Totals
from otel_consul.transports import UNKNOWN_TRANSPORT, Transport, discover
from otel_consul.transports.limits import UNKNOWN

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


_live: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _forked() -> None:
    """In a child process: the open calls are the parent's, nobody here will ever end them."""
    for recorder in list(_live):
        recorder.registry.clear()
        recorder.dropped.clear()
        recorder.totals.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _keys_set_by(suppress: Callable[[], Any]) -> dict[str, Any]:
    """The context keys a suppressing context manager sets; they have no public names."""
    before = get_current()
    with suppress():
        return {key: value for key, value in get_current().items() if key not in before}


class Recorder:
    """Observes calls of any client. Made by `ConsulInstrumentor.instrument`, dead after `uninstrument`."""

    def __init__(self, settings: Settings, tracer: Tracer, instruments: Instruments, *, old_names: bool) -> None:
        self.settings = settings
        self.tracer = tracer
        self.start_span = tracer.start_span
        self.old_names = old_names
        self.duration = instruments.duration
        self.registry = Registry()
        self.totals = Totals(self.registry, settings.stall_threshold)
        self.begun = self.totals.begun.append
        self.finished = self.totals.finished.append
        self._plans = Plans(settings, self.totals, old_names=old_names)
        self._transports = discover()
        self._kinds: weakref.WeakKeyDictionary[type, Transport] = weakref.WeakKeyDictionary()
        self._suppressing = tuple(_keys_set_by(suppress_instrumentation))
        self.suppress_http_keys = _keys_set_by(suppress_http_instrumentation) if settings.suppress_http else {}
        self._capture_full = settings.capture_keys == "full"
        self._hooked = settings.request_hook is not None or settings.response_hook is not None
        self.cancel_reason = deadlines.reason
        self.background = Background(min(LINGER, settings.stall_threshold or LINGER))
        self.dropped = Dropped(self.background)
        self.on_first_span: Callable[[], None] | None = None
        """Called when the first span that records has started: the program has made its tracer provider by then."""
        self.local_delay = LocalDelay(self.background) if settings.local_delay else None
        self.advice = Advice()
        _live.add(self)

    def watch(self) -> None:
        """Start listening to the transports' own signals."""
        if self.settings.phases:
            for transport in self._transports:
                if transport.watch is not None:
                    transport.watch()

    def stop(self) -> None:
        """Undo `watch`, and end the thread: nothing is measured any more."""
        for transport in self._transports:
            if transport.unwatch is not None:
                transport.unwatch()
        if self.local_delay is not None:
            self.local_delay.stop()
        self.background.stop()

    # --- the doors -------------------------------------------------------------------------------------------------

    def kind_of(self, http: Any) -> Transport:
        """Which HTTP library does the calls of the transport object `http`."""
        kind = self._kinds.get(type(http))
        if kind is None:
            kind = next((transport for transport in self._transports if transport.owns(http)), UNKNOWN_TRANSPORT)
            if not kind.lazy and inspect.iscoroutinefunction(getattr(http, "get", None)):
                kind = replace(kind, lazy=True)
            self._kinds[type(http)] = kind
        return kind

    def door(self, client: Client) -> Callable[[Wiring, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]:
        """The door for the calls of one client library."""
        suppressing, observation, current = self._suppressing, self._observation, CURRENT.get
        calls_back = client.calls_back

        def observe(
            wiring: Wiring, verb: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            lazy = wiring.kind.lazy
            if not lazy and (context := get_current()):  # a lazy one asks when its work starts
                for key in suppressing:
                    if context.get(key):
                        return method(*args, **kwargs)
            try:
                call = observation(wiring, verb, args, kwargs)
                if calls_back and call is not None:
                    if args and type(args[0]) is FunctionType:
                        call._callback = args[0]
                        args = (call.answered, *args[1:])
                    else:
                        call, args, kwargs = with_callback(call, args, kwargs)
            except Exception:  # noqa: BLE001
                guard.fault("reading a call")
                call = None
            if call is None:  # not above: what the transport raises is no fault of ours
                return method(*args, **kwargs)
            if lazy:
                return self._lazily(call, wiring, method, args, kwargs)
            outer = current()
            if outer is not None and outer.running and self.leaves_alone(call, context, outer):
                return method(*args, **kwargs)
            try:
                call.begin(context, outer)
                result = method(*args, **kwargs)
            except BaseException as exc:
                call.fail(exc)
                raise
            if wiring.kind.future or type(result) is CoroutineType:
                return self._settle(call, wiring, result)
            call.succeed(result)
            return result

        return observe

    def _observation(  # noqa: PLR0912 -- a function more costs every call
        self,
        wiring: Wiring,
        verb: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Observation | None:
        """Read one call; None if it is to be left alone."""
        http = wiring.http
        base_uri, path, params = wiring.client.read(http, args, kwargs)
        try:
            operation, name = lookup(verb, path)
        except (AttributeError, TypeError):  # no text: the transport may know better, or complain
            path = path.decode(errors="replace") if isinstance(path, bytes) else ""
            operation, name = lookup(verb, path)
        if params:
            query = read(operation, verb, params)
            plan = self._plans.get(base_uri, operation, query, blocking(operation, query))
        else:
            plan = self._plans.plain.get((base_uri, operation)) or self._plans.without_params(base_uri, operation, verb)
            query = plan.query
        if plan.excluded:
            return None
        try:
            in_force = wiring.kind.limits(http, params, kwargs)
        except Exception:  # noqa: BLE001 -- the client's own code works some of them out, and raises in the call too
            in_force = UNKNOWN
        kind = plan.kinds.get(in_force) or plan.kind(in_force)
        attributes = kind.attributes.copy()
        if name and plan.name_attribute is not None:
            if self._capture_full:
                attributes[plan.name_attribute] = name
            else:
                self._add_name(plan.name_attribute, name, attributes)
        if params:
            if query.datacenter is not None:
                attributes[semconv.DATACENTER] = query.datacenter
            if plan.blocking:
                attributes[semconv.WAIT] = query.wait or semconv.DEFAULT_WAIT
        if wiring.generation != Generation.number:
            attributes[semconv.CLIENT_FORKED] = True
        call = Observation(self, wiring, plan, kind, query, attributes)
        if in_force.deadline == semconv.Deadline.NONE:
            call.transport = wiring.kind.name
        if self._hooked:
            call.hooked = hooks.Call(operation.name, verb, path, params, plan.blocking)
        return call

    def _add_name(self, attribute: str, name: str, attributes: dict[str, Any]) -> None:
        if self.settings.capture_keys == "prefix":
            attributes[attribute] = name.partition("/")[0]

    def leaves_alone(self, call: Observation, context: Context, outer: Clock | None) -> bool:
        """Whether `call` is not to be observed after all, now that its work is about to start."""
        if isinstance(outer, Observation) and outer.running and outer.includes(call):
            return True
        return call.wiring.seam.removed or (bool(context) and any(context.get(key) for key in self._suppressing))

    def _lazily(
        self,
        call: Observation,
        wiring: Wiring,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """A transport that gives coroutines, but for a value at times, or an exception: then the call is over by now."""
        since = perf_counter()
        try:
            result = method(*args, **kwargs)
        except BaseException as exc:
            if self._has_begun(call, since):
                call.fail(exc)
            raise
        if later(result):
            return lazily(call, result)
        return self._settle(call, wiring, result) if self._has_begun(call, since) else result

    def _has_begun(self, call: Observation, since: float) -> bool:
        """Begin a call that turns out to have been at work `since` then, if it is to be observed."""
        context, outer = get_current(), CURRENT.get()
        if self.leaves_alone(call, context, outer):
            return False
        try:
            call.begin(context, outer, since=since)
        except BaseException as exc:
            call.fail(exc)
            raise
        return True

    def _settle(self, call: Observation, wiring: Wiring, result: Any) -> Any:
        """The transport returned `result`: a value, or something that will have one."""
        if later(result):
            # Its transport proves lazy: nothing has run yet, so start again at the first step.
            self._kinds[type(wiring.http)] = wiring.kind = replace(wiring.kind, lazy=True)
            call.postpone()
            return lazily(call, result)
        if wiring.kind.future:
            try:
                if watch(call, result):
                    call.release()
                    return result
            except Exception:  # noqa: BLE001
                guard.fault("watching a future")
        call.succeed(result)
        return result
