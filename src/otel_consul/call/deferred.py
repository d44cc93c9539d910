"""Values that come later: from a coroutine when it is awaited, from a future that is at work already, by a callback.

What the caller gets is what the transport gave, raised or returned; only a coroutine is replaced, by one that gives the
same when it is awaited.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Generator
from types import CoroutineType, GeneratorType, MethodType, coroutine
from typing import Any
from weakref import ref

import wrapt
from opentelemetry.context import get_current

from otel_consul.call.observed_call import ObservedCall
from otel_consul.deadlines import cancellation
from otel_consul.phases import CURRENT
from otel_consul.stacks import call_site, waiters


def watch(call: ObservedCall, result: Any) -> bool:
    """End `call` when `result`, a future or a Deferred, has its value; False if it is neither."""
    kind = type(result)  # not the object: a mock has whatever it is asked for
    if hasattr(kind, "add_done_callback"):
        result.add_done_callback(lambda future: _done(call, future))
    elif hasattr(kind, "addBoth"):
        result.addBoth(lambda value: _fired(call, value))
    else:
        return False
    call.future = ref(result, lambda _: call.drop())
    call.waiter, call.origin = waiters.nobody, call_site.find()
    if call.delay is not None:
        call.shared.local_delay.future_given(call)  # type: ignore[union-attr]
    return True


def with_callback(
    call: ObservedCall, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[ObservedCall | None, tuple[Any, ...], dict[str, Any]]:
    """The same arguments, the client's callback wrapped; a transport without one is left alone.

    No call if the callback is that of a call under way: a transport around this one hands its request on.
    """
    callback = args[0] if args else kwargs.get("callback")
    if not callable(callback):
        return call, args, kwargs
    owner = callback.__self__ if type(callback) is MethodType else None
    if type(owner) is ObservedCall and owner.shared is call.shared:
        return None, args, kwargs
    if args:
        return call, (call.answer_to(callback), *args[1:]), kwargs
    return call, args, {**kwargs, "callback": call.answer_to(callback)}


def later(result: Any) -> bool:
    """Whether `result` does nothing until it is awaited, as far as one can tell."""
    kind = type(result)
    if kind is CoroutineType:
        return True
    if not hasattr(kind, "__await__") and kind is not GeneratorType:
        return False
    return inspect.isawaitable(result) and not hasattr(kind, "add_done_callback") and not hasattr(kind, "addBoth")


def lazily(call: ObservedCall, awaitable: Any) -> Any:
    """What gives the same as `awaitable` when it is awaited, and observes it meanwhile."""
    call.origin = call_site.find()
    if type(awaitable) is CoroutineType:
        made: Any = _awaited(call, _Held(awaitable))
    elif hasattr(type(awaitable), "__next__"):
        made = _yielded(call, _Held(awaitable))
    elif isinstance(awaitable, Coroutine):
        made = _awaited(call, _Held(awaitable))
    else:
        return _Awaitable(call, awaitable)
    if hasattr(awaitable, "__qualname__"):  # so that tasks and warnings read as they would without us
        made.__name__, made.__qualname__ = awaitable.__name__, awaitable.__qualname__
    return made


class _Holder:
    """What a coroutine of ours awaits."""

    __slots__ = ("awaitable",)

    def __init__(self, awaitable: Any) -> None:
        self.awaitable: Any = awaitable


class _Held(_Holder):
    """The transport's coroutine inside ours: closed with it, so that one that never starts warns once, or not at all."""

    __slots__ = ()

    def __del__(self) -> None:
        close = getattr(self.awaitable, "close", None)
        if close is not None:
            close()


class _Awaitable(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """An object that can be awaited: itself but for that, and then for the first time only."""

    def __init__(self, call: ObservedCall, awaitable: Any) -> None:
        super().__init__(awaitable)
        self._self_call: ObservedCall | None = call

    def __await__(self) -> Any:
        call, self._self_call = self._self_call, None
        awaitable = self.__wrapped__
        return awaitable.__await__() if call is None else _awaited(call, _Holder(awaitable)).__await__()


async def _awaited(call: ObservedCall, held: _Holder) -> Any:
    context, outer = get_current(), CURRENT.get()
    if call.is_left_alone(context, outer):
        return await held.awaitable
    task = waiters.task()
    call.waiter = waiters.nobody if task is None else ref(task)
    call.bound_by_task()
    try:
        call.begin(context, outer, task)
        result = await held.awaitable
    except GeneratorExit:
        call.drop()
        raise
    except BaseException as exc:
        call.fail(exc)
        raise
    call.succeed(result)
    return result


@coroutine
def _yielded(call: ObservedCall, held: _Holder) -> Generator[Any, Any, Any]:
    """As `_awaited`, for generators: what yields from those cannot yield from a coroutine."""
    return (yield from _awaited(call, held))


def _done(call: ObservedCall, future: Any) -> None:
    """A tornado or asyncio future is done."""
    if future.cancelled():
        call.fail(cancellation.FutureCancelledError(future))
    # not `future.exception()`: asking would silence asyncio's "exception was never retrieved"
    elif (exc := getattr(future, "_exception", None)) is not None:
        call.fail(exc)
    else:
        try:
            result = future.result()
        except BaseException as raised:  # noqa: BLE001 -- a future of another make keeps its exception elsewhere
            call.fail(raised)
        else:
            call.succeed(result)


def _fired(call: ObservedCall, value: Any) -> Any:
    """A twisted Deferred has fired with a value or a Failure; pass it on untouched."""
    exc = getattr(value, "value", None)
    if isinstance(exc, BaseException) and hasattr(value, "getTraceback"):
        call.fail(exc)
    else:
        call.succeed(value)
    return value
