"""A cancellation that no deadline brought is never called one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from concurrent.futures import CancelledError as ConcurrentCancelledError
from typing import Any

import pytest

from otel_consul.deadlines import cancellation
from otel_consul.semconv import CancelReason
from tests.support.cancelled import NO_DEADLINE, SOON, Call, cancel, reasons_of

pytestmark = pytest.mark.usefixtures("timeouts_noted")
CALLER, UNKNOWN = CancelReason.CALLER, CancelReason.UNKNOWN
WANTS_TIMEOUT = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with 3.11")


class LikeTwistedsError(Exception):
    """As `twisted.internet.defer.CancelledError`, which a task may be running for."""


async def cancelled_task(call: Call) -> None:
    await cancel(asyncio.ensure_future(call()), call)


async def cancelled_inside_wait_for(call: Call) -> None:
    await cancel(asyncio.ensure_future(asyncio.wait_for(call(), 60)), call)


async def group_aborted_by_a_sibling(call: Call) -> None:
    async def fail() -> None:
        await call.started.wait()
        raise ValueError

    with contextlib.suppress(BaseExceptionGroup):  # noqa: F821 -- 3.11 and later
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(call())
            group.create_task(fail())


async def cancelled_inside_timeout(call: Call) -> None:
    async def inside() -> None:
        async with asyncio.timeout(60):
            await call()

    await cancel(asyncio.ensure_future(inside()), call)


async def child_that_outlives_an_expired_timeout(call: Call) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SOON):
            child = asyncio.ensure_future(call())
            await asyncio.get_running_loop().create_future()
    await cancel(child, call)


async def after_a_deadline_that_was_survived(call: Call) -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        await call()

    task = asyncio.ensure_future(stubborn())
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), SOON)
    task.cancel()  # by the caller, once
    await cancel(task, call)


@WANTS_TIMEOUT
def test_cancel_of_a_group_is_the_callers() -> None:
    async def group(call: Call) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(call())

    async def cancelled(call: Call) -> None:
        await cancel(asyncio.ensure_future(group(call)), call)

    async def cancelled_inside_wait_for(call: Call) -> None:
        await cancel(asyncio.ensure_future(asyncio.wait_for(group(call), 60)), call)

    assert reasons_of(cancelled) == [CALLER]
    assert reasons_of(cancelled_inside_wait_for) == [CALLER]


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), GeneratorExit(), ConcurrentCancelledError(), LikeTwistedsError()])
def test_what_asyncio_did_not_cancel_is_unknown(exc: BaseException) -> None:
    async def inside_a_task() -> str:
        return cancellation.reason(exc)

    assert cancellation.reason(exc) == UNKNOWN
    assert asyncio.run(inside_a_task()) == UNKNOWN


def test_no_task_runs() -> None:
    async def in_a_callback() -> str:
        loop = asyncio.get_running_loop()
        told = loop.create_future()
        loop.call_soon(lambda: told.set_result(cancellation.reason(asyncio.CancelledError())))
        return str(await told)

    assert cancellation.reason(asyncio.CancelledError()) == UNKNOWN
    assert asyncio.run(in_a_callback()) == UNKNOWN


@pytest.mark.parametrize(("seconds", "reason"), [(SOON, CancelReason.DEADLINE), (60, UNKNOWN)])
def test_a_future_that_is_cancelled(seconds: float, reason: str) -> None:
    async def main() -> str:
        future = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(asyncio.wait_for(future, seconds))
        if seconds != SOON:
            asyncio.get_running_loop().call_later(SOON, future.cancel)
        await asyncio.wait([waiting])
        assert future.cancelled()
        return cancellation.reason(cancellation.FutureCancelledError(future))

    assert asyncio.run(main()) == reason


@pytest.mark.parametrize("scenario", [cancelled_task, cancelled_inside_wait_for, after_a_deadline_that_was_survived])
def test_cancel_without_a_deadline_is_the_callers(scenario: Any) -> None:
    assert reasons_of(scenario) == [NO_DEADLINE]


@WANTS_TIMEOUT
@pytest.mark.parametrize(
    "scenario", [cancelled_inside_timeout, group_aborted_by_a_sibling, child_that_outlives_an_expired_timeout]
)
def test_cancel_before_the_deadline_is_the_callers(scenario: Any) -> None:
    assert reasons_of(scenario) == [CALLER]


def test_cancel_scope_of_anyio_is_unknown() -> None:
    anyio = pytest.importorskip("anyio")

    async def scope(call: Call) -> None:
        with anyio.move_on_after(SOON):
            await call()

    async def cancelled_scope(call: Call) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await call.started.wait()
            group.cancel_scope.cancel()

    assert reasons_of(scope) == [UNKNOWN]
    assert reasons_of(cancelled_scope) == [UNKNOWN]
