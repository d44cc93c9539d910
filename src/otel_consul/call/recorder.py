"""Reads every call that comes in, and has it observed by the way it gives its value.

A call may give its value (sync), a coroutine that does nothing until it is awaited (asyncio), or a future that is
already at work (tornado, twisted). What a caller gets, raised or returned, is what the transport gave; a coroutine is
replaced by one that gives the same when awaited.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from os import getpid
from types import CoroutineType, FunctionType
from typing import Any

from opentelemetry.context import get_current

from otel_consul import guard, hooks, semconv
from otel_consul.background.clock import perf_counter
from otel_consul.background.forks import Generation, in_child
from otel_consul.call.call_types import CallTypes
from otel_consul.call.deferred import later, lazily, watch, with_callback
from otel_consul.call.observed_call import ObservedCall
from otel_consul.call.shared import Shared
from otel_consul.clients.client import Client
from otel_consul.clients.reuse import Reuse
from otel_consul.clients.seam import Observe, Sender
from otel_consul.consul_api.operations import lookup
from otel_consul.consul_api.request import blocking, read, text
from otel_consul.phases import CURRENT
from otel_consul.redact import encodable
from otel_consul.transports import UNKNOWN_TRANSPORT, Transport, discover
from otel_consul.transports.limits import UNKNOWN


class Recorder:
    """Observes calls of any client. Made by `ConsulInstrumentor.instrument`, dead after `uninstrument`."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        settings = shared.settings
        self._types = CallTypes(settings, shared.totals, old_names=shared.old_names)
        self._transports = discover()
        self._by_class: weakref.WeakKeyDictionary[type, Transport] = weakref.WeakKeyDictionary()
        """The transports of the classes of transport objects seen so far."""
        self._reuse = Reuse()
        self._capture_full = settings.capture_keys == "full"
        self._hooked = settings.request_hook is not None or settings.response_hook is not None

    def watch(self) -> None:
        """Start listening to the transports' own signals."""
        if self.shared.settings.phases:
            for transport in self._transports:
                if transport.watch is not None:
                    transport.watch()

    def stop(self) -> None:
        """Undo `watch`: nothing is measured any more."""
        for transport in self._transports:
            if transport.unwatch is not None:
                transport.unwatch()
        self.shared.stop()

    # --- where calls come in -----------------------------------------------------------------------------------------

    def transport_of(self, http: Any) -> Transport:
        """Which HTTP library does the calls of the transport object `http`."""
        transport = self._by_class.get(type(http))
        if transport is None:
            transport = next((one for one in self._transports if one.owns(http)), UNKNOWN_TRANSPORT)
            if not transport.lazy and inspect.iscoroutinefunction(getattr(http, "get", None)):
                transport = replace(transport, lazy=True)
            self._by_class[type(http)] = transport
        return transport

    def observer(self, client: Client) -> Observe:
        """What observes the calls of one client library: the way they all come in."""
        suppressing, observation, current = self.shared.suppressing, self._observation, CURRENT.get
        calls_back, generation = client.calls_back, Generation

        def observe(  # noqa: PLR0912 -- a function more costs every call
            sender: Sender, verb: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            if getpid() != generation.process:
                in_child()
            lazy = sender.transport.lazy
            if not lazy and (context := get_current()):  # a lazy one asks when its work starts
                for key in suppressing:
                    if context.get(key):
                        return method(*args, **kwargs)
            try:
                try:
                    call = observation(sender, verb, args, kwargs)
                except Exception:  # noqa: BLE001
                    guard.fault("reading a call")
                    call = self._unread(sender, verb)
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
                return self._lazily(call, sender, method, args, kwargs)
            outer = current()
            if outer is not None and outer.running and call.is_left_alone(context, outer):
                return method(*args, **kwargs)
            try:
                call.begin(context, outer)
                result = method(*args, **kwargs)
            except BaseException as exc:
                call.fail(exc)
                raise
            if sender.transport.future or type(result) is CoroutineType:
                return self._settle(call, sender, result)
            call.succeed(result)
            return result

        return observe

    def _observation(  # noqa: PLR0912 -- a function more costs every call
        self,
        sender: Sender,
        verb: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> ObservedCall | None:
        """Read one call; None if it is to be left alone."""
        http = sender.http
        try:
            base_uri, path, params = sender.client.read(http, args, kwargs)
        except Exception:  # noqa: BLE001 -- a caller, or a client, that passes what its transport will refuse
            base_uri, path, params = None, "", None
        if type(path) is not str:  # the transport may know better, or complain
            path = text(path) or ""
        operation, name = lookup(verb, path)
        try:
            given = read(operation, verb, params) if params else None
        except Exception:  # noqa: BLE001 -- what a caller passes may raise at the slightest touch
            given = None
        if given is not None:
            query = given
            call_type = self._types.get(base_uri, operation, query, blocking(operation, query))
        else:
            call_type = self._types.plain.get((base_uri, operation)) or self._types.without_params(
                base_uri, operation, verb
            )
            query = call_type.query
        if call_type.excluded:
            return None
        calls = sender.calls
        calls[0] += 1
        if calls[0] == 1:
            self.shared.totals.instances.seen(sender, call_type.series.server)
            self._reuse.first_call(operation.name, calls, None)
        try:
            in_force = sender.transport.limits(http, params, kwargs)
        except Exception:  # noqa: BLE001 -- the client's own code works some of them out, and raises in the call too
            in_force = UNKNOWN
        limited = call_type.limited.get(in_force) or call_type.limited_by(in_force)
        attributes = limited.attributes.copy()
        if name and call_type.name_attribute is not None:
            if self._capture_full:
                attributes[call_type.name_attribute] = name if name.isascii() else encodable(name)
            else:
                self._add_name(call_type.name_attribute, name, attributes)
        if query.datacenter is not None:
            attributes[semconv.DATACENTER] = query.datacenter
        if call_type.blocking:
            attributes[semconv.WAIT] = query.wait or semconv.DEFAULT_WAIT
        if sender.generation != Generation.number:
            attributes[semconv.CLIENT_FORKED] = True
        call = ObservedCall(self.shared, sender, call_type, limited, query, attributes)
        if self._hooked:
            call.hooked = hooks.Call(operation.name, verb, path, params, call_type.blocking)
        return call

    def _unread(self, sender: Sender, verb: str) -> ObservedCall | None:
        """A call that could not be read is a call all the same: of operation `other`."""
        operation, _ = lookup(verb, "")
        query = read(operation, verb, None)
        call_type = self._types.get(None, operation, query, blocking=False)
        if call_type.excluded:
            return None
        limited = call_type.limited_by(UNKNOWN)
        return ObservedCall(self.shared, sender, call_type, limited, query, limited.attributes.copy())

    def _add_name(self, attribute: str, name: str, attributes: dict[str, Any]) -> None:
        if self.shared.settings.capture_keys == "prefix":
            attributes[attribute] = encodable(name.partition("/")[0])

    def _lazily(
        self,
        call: ObservedCall,
        sender: Sender,
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
        return self._settle(call, sender, result) if self._has_begun(call, since) else result

    def _has_begun(self, call: ObservedCall, since: float) -> bool:
        """Begin a call that turns out to have been at work `since` then, if it is to be observed."""
        context, outer = get_current(), CURRENT.get()
        if call.is_left_alone(context, outer):
            return False
        try:
            call.begin(context, outer, since=since)
        except BaseException as exc:
            call.fail(exc)
            raise
        return True

    def _settle(self, call: ObservedCall, sender: Sender, result: Any) -> Any:
        """The transport returned `result`: a value, or something that will have one."""
        if later(result):
            # Its transport proves lazy: nothing has run yet, so start again at the first step.
            self._by_class[type(sender.http)] = sender.transport = replace(sender.transport, lazy=True)
            call.postpone()
            return lazily(call, result)
        if sender.transport.future:
            try:
                if watch(call, result):
                    call.release()
                    return result
            except Exception:  # noqa: BLE001
                guard.fault("watching a future")
        call.succeed(result)
        return result
