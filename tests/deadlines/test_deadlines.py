"""Whose cancellation it was: every way asyncio can stop a call, told apart where Python lets one tell."""

from __future__ import annotations

import asyncio
import sys
from asyncio import wait_for as wait_for_imported_before_apply
from typing import Any

import pytest

from otel_consul.deadlines import cancellation, timeouts
from otel_consul.semconv import CancelReason
from tests.support.cancelled import SOON, Call, reasons_of

pytestmark = pytest.mark.usefixtures("timeouts_noted")
DEADLINE = CancelReason.DEADLINE
WANTS_TIMEOUT = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with 3.11")


# --- expired ------------------------------------------------------------------------------------------------------


async def timeout_around(call: Call) -> None:
    async with asyncio.timeout(SOON):
        await call()


async def nested_outer_expires(call: Call) -> None:
    async with asyncio.timeout(SOON), asyncio.timeout(60):
        await call()


async def nested_inner_expires(call: Call) -> None:
    async with asyncio.timeout(60), asyncio.timeout(SOON):
        await call()


async def timeout_at(call: Call) -> None:
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + SOON):
        await call()


async def rescheduled(call: Call) -> None:
    async with asyncio.timeout(None) as limit:
        limit.reschedule(asyncio.get_running_loop().time() + SOON)
        await call()


async def gather_inside_timeout(call: Call) -> None:
    async with asyncio.timeout(SOON):
        await asyncio.gather(call(), call())


async def group_inside_timeout(call: Call) -> None:
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
        group.create_task(call())
        group.create_task(call())


async def task_from_before_the_timeout(call: Call) -> None:
    task = asyncio.ensure_future(call())
    async with asyncio.timeout(SOON):
        await task


async def gather_from_before_the_timeout(call: Call) -> None:
    both = asyncio.gather(call(), call())
    async with asyncio.timeout(SOON):
        await both


@WANTS_TIMEOUT
@pytest.mark.parametrize(
    ("scenario", "calls"),
    [
        (timeout_around, 1),
        (timeout_at, 1),
        (nested_outer_expires, 1),
        (nested_inner_expires, 1),
        (rescheduled, 1),
        (gather_inside_timeout, 2),
        (group_inside_timeout, 2),
        (task_from_before_the_timeout, 1),
        (gather_from_before_the_timeout, 2),
    ],
)
def test_expired_timeout_is_a_deadline(scenario: Any, calls: int) -> None:
    assert reasons_of(scenario) == [DEADLINE] * calls


async def wait_for_coroutine(call: Call) -> None:
    await asyncio.wait_for(call(), SOON)


async def wait_for_by_name(call: Call) -> None:
    await wait_for_imported_before_apply(call(), SOON)


async def wait_for_task(call: Call) -> None:
    await asyncio.wait_for(asyncio.ensure_future(call()), SOON)


async def wait_for_gather(call: Call) -> None:
    await asyncio.wait_for(asyncio.gather(call(), call()), SOON)


async def wait_for_chain_of_tasks(call: Call) -> None:
    async def middle() -> None:
        await asyncio.ensure_future(call())

    await asyncio.wait_for(asyncio.ensure_future(middle()), SOON)


async def wait_for_nested_gather(call: Call) -> None:
    await asyncio.wait_for(asyncio.gather(asyncio.gather(call()), call()), SOON)


async def wait_for_while_a_cancellation_is_handled(call: Call) -> None:
    async def cleans_up() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.wait_for(call(), SOON)

    task = asyncio.ensure_future(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


@WANTS_TIMEOUT
def test_expired_wait_for_of_a_group_is_a_deadline() -> None:
    async def groups(call: Call) -> None:
        async def inner() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(call())

        async def outer() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(inner())
                group.create_task(call())

        await asyncio.wait_for(outer(), SOON)

    assert reasons_of(groups) == [DEADLINE, DEADLINE]


@pytest.mark.parametrize(
    ("scenario", "calls"),
    [
        (wait_for_coroutine, 1),
        (wait_for_while_a_cancellation_is_handled, 1),
        (wait_for_by_name, 1),
        (wait_for_task, 1),
        (wait_for_gather, 2),
        (wait_for_chain_of_tasks, 1),
        (wait_for_nested_gather, 2),
    ],
)
def test_expired_wait_for_is_a_deadline(scenario: Any, calls: int) -> None:
    assert reasons_of(scenario) == [DEADLINE] * calls


# --- the rest -----------------------------------------------------------------------------------------------------


def patches() -> dict[str, Any]:
    timeout = getattr(asyncio, "Timeout", None)
    return {
        **({f"Timeout.{name}": value for name, value in vars(timeout).items() if callable(value)} if timeout else {}),
        "_cancel_and_wait": getattr(asyncio.tasks, "_cancel_and_wait", None),
        "wait_for": asyncio.wait_for,
    }


def test_remove_leaves_asyncio_as_it_was() -> None:
    ours = patches()
    timeouts.remove()
    before = patches()
    timeouts.apply()
    timeouts.apply()
    assert patches() != before
    timeouts.remove()
    assert patches() == before != ours


@WANTS_TIMEOUT
def test_wrapper_of_a_stranger_on_top_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = asyncio.Timeout.__aenter__
    entered: list[Any] = []

    def strangers(self: Any) -> Any:
        entered.append(self)
        return ours(self)

    monkeypatch.setattr(asyncio.Timeout, "__aenter__", strangers)
    timeouts.remove()

    assert asyncio.Timeout.__aenter__ is strangers
    assert reasons_of(timeout_around) != []
    assert len(entered) == 1


def test_no_loop_runs() -> None:
    assert cancellation.remaining() is None
    assert not cancellation.loop_is_closing()
