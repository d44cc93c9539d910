"""`async_timeout.timeout`, which old companions bring along: version 4 has a way of its own of stopping a task."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest

from otel_consul.deadlines import cancellation
from otel_consul.semconv import CancelReason
from tests.support.cancelled import NO_DEADLINE, SOON, Call, cancel, reasons_of

async_timeout = pytest.importorskip("async_timeout")
pytestmark = [
    pytest.mark.usefixtures("timeouts_noted"),
    pytest.mark.skipif(async_timeout.Timeout is getattr(asyncio, "Timeout", None), reason="it is asyncio's own"),
]


async def around(call: Call) -> None:
    async with async_timeout.timeout(SOON):
        await call()


async def outer(call: Call) -> None:
    async with async_timeout.timeout(SOON), async_timeout.timeout(60):
        await call()


async def around_a_task(call: Call) -> None:
    async with async_timeout.timeout(SOON):
        await asyncio.ensure_future(call())


async def already_over(call: Call) -> None:
    async with async_timeout.timeout(0):
        await call()


async def cancelled_within(call: Call) -> None:
    async def run() -> None:
        async with async_timeout.timeout(60):
            await call()

    await cancel(asyncio.ensure_future(run()), call)


async def cancelled_after_one_expired(call: Call) -> None:
    async def run() -> None:
        try:
            async with async_timeout.timeout(SOON):
                await asyncio.sleep(60)
        except asyncio.TimeoutError:
            await call()

    await cancel(asyncio.ensure_future(run()), call)


@pytest.mark.parametrize("scenario", [around, outer, around_a_task, already_over])
def test_expired_is_a_deadline(scenario: Any) -> None:
    assert reasons_of(scenario) == [CancelReason.DEADLINE]


@pytest.mark.parametrize("scenario", [cancelled_within, cancelled_after_one_expired])
def test_cancelled_by_the_caller_is_not(scenario: Any) -> None:
    assert reasons_of(scenario) == [NO_DEADLINE]


def test_what_remains_of_it() -> None:
    async def look() -> list[float | None]:
        async with async_timeout.timeout(None), async_timeout.timeout(5):
            inside = cancellation.remaining()
        return [inside, cancellation.remaining()]

    inside, outside = asyncio.run(look())
    assert inside == pytest.approx(5, abs=0.5)
    assert outside is None


def test_a_task_made_within_keeps_nothing_of_it_alive() -> None:
    async def run() -> None:
        async def entered() -> tuple[weakref.ref[Any], asyncio.Task[None]]:
            async with async_timeout.timeout(60):
                return weakref.ref(asyncio.current_task()), asyncio.ensure_future(asyncio.sleep(60))

        gone, child = await asyncio.ensure_future(entered())
        await asyncio.sleep(0)  # until then the step that it woke up refers to it
        gc.collect()
        assert gone() is None
        child.cancel()

    asyncio.run(run())


def test_it_may_be_imported_later_and_is_as_it_was_afterwards() -> None:
    program = """if True:
    from otel_consul.deadlines import timeouts
    timeouts.apply()
    import async_timeout
    ours = vars(async_timeout.Timeout).copy()
    timeouts.remove()
    before = vars(async_timeout.Timeout).copy()
    timeouts.apply()
    again = vars(async_timeout.Timeout).copy()
    timeouts.remove()
    after = vars(async_timeout.Timeout).copy()
    changed = {name for name in before if before[name] is not ours[name] and before[name] is not again[name]}
    print(sorted(changed), after == before)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "['__aenter__', '__aexit__', '_on_timeout'] True\n"
