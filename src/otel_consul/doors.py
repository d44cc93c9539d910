"""The doors a call's value comes by: at once, from a coroutine when it is awaited, or from a future at work already.

What the caller gets is what the transport gave, raised or returned; only a coroutine is replaced, by one that gives the
same when it is awaited.
"""

from __future__ import annotations

import asyncio
import inspect
from types import CoroutineType
from typing import Any
from weakref import ref

from opentelemetry.context import get_current

from otel_consul import stacks
from otel_consul.observation import Observation


def watch(call: Observation, result: Any) -> bool:
    """End `call` when `result`, a future or a Deferred, has its value; False if it is neither."""
    if hasattr(result, "add_done_callback"):
        result.add_done_callback(lambda future: _done(call, future))
    elif hasattr(result, "addBoth"):
        result.addBoth(lambda value: _fired(call, value))
    else:
        return False
    call.keeper = ref(result, lambda _: call.abandon())
    call.waiter, call.origin = stacks.nobody, stacks.place()
    if call.delay is not None:
        call.recorder.local_delay.future_given(call)  # type: ignore[union-attr]
    return True


def with_callback(
    call: Observation, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same arguments, the client's callback wrapped; a transport without one is left alone."""
    if args:
        return ((call.answer_to(args[0]), *args[1:]), kwargs) if callable(args[0]) else (args, kwargs)
    callback = kwargs.get("callback")
    return (args, {**kwargs, "callback": call.answer_to(callback)}) if callable(callback) else (args, kwargs)


def lazily(call: Observation, awaitable: Any) -> Any:
    """A coroutine that gives what `awaitable` does and observes it meanwhile; what is not awaitable is left alone."""
    if type(awaitable) is not CoroutineType and not inspect.isawaitable(awaitable):
        return awaitable
    call.origin = stacks.place()
    coroutine: Any = _awaited(call, _Held(awaitable))
    if hasattr(awaitable, "__qualname__"):  # so that tasks and warnings read as they would without us
        coroutine.__name__, coroutine.__qualname__ = awaitable.__name__, awaitable.__qualname__  # type: ignore[attr-defined]
    return coroutine


class _Held:
    """The transport's coroutine inside ours: closed with it, so that one that never starts warns once, or not at all."""

    __slots__ = ("awaitable",)

    def __init__(self, awaitable: Any) -> None:
        self.awaitable: Any = awaitable

    def __del__(self) -> None:
        close = getattr(self.awaitable, "close", None)
        if close is not None:
            close()


async def _awaited(call: Observation, held: _Held) -> Any:
    task = stacks.task()
    call.waiter = stacks.nobody if task is None else ref(task)
    call.bound_by_task()
    call.begin(get_current(), task)
    try:
        result = await held.awaitable
    except BaseException as exc:
        call.fail(exc)
        raise
    call.succeed(result)
    return result


def _done(call: Observation, future: Any) -> None:
    """A tornado or asyncio future is done."""
    if future.cancelled():
        call.fail(asyncio.CancelledError())
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


def _fired(call: Observation, value: Any) -> Any:
    """A twisted Deferred has fired with a value or a Failure; pass it on untouched."""
    exc = getattr(value, "value", None)
    if isinstance(exc, BaseException) and hasattr(value, "getTraceback"):
        call.fail(exc)
    else:
        call.succeed(value)
    return value
