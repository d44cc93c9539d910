"""How long a call may take: the nearest `asyncio.timeout` counts that would really cancel it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import pytest

from otel_consul.deadlines import cancellation

pytestmark = [
    pytest.mark.usefixtures("timeouts_noted"),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with 3.11"),
]
Seen = list["float | None"]
Look = Callable[[], Awaitable[None]]


def seen_in(scenario: Callable[[Look], Awaitable[None]]) -> Seen:
    """What `remaining` gives wherever the scenario looks."""
    seen: Seen = []

    async def look() -> None:
        seen.append(cancellation.remaining())

    asyncio.run(scenario(look))  # type: ignore[arg-type]
    return seen


async def nearest(look: Look) -> None:
    async with asyncio.timeout(100), asyncio.timeout(5), asyncio.timeout(None):
        await look()


async def awaited_task(look: Look) -> None:
    async with asyncio.timeout(5):
        await asyncio.ensure_future(look())


async def gathered(look: Look) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(asyncio.gather(look()), asyncio.sleep(0))


async def chain_of_tasks(look: Look) -> None:
    async def middle() -> None:
        await asyncio.ensure_future(look())

    async with asyncio.timeout(5):
        await asyncio.ensure_future(middle())


async def group(look: Look) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(look())
        await asyncio.sleep(0.01)


async def wait_for_inside(look: Look) -> None:
    async with asyncio.timeout(5):
        await asyncio.wait_for(look(), 100)


async def wait_for(look: Look) -> None:
    await asyncio.wait_for(look(), 5)


@pytest.mark.parametrize("scenario", [nearest, awaited_task, gathered, chain_of_tasks, group, wait_for_inside])
def test_the_nearest_timeout_that_cancels_it(scenario: Callable[[Look], Awaitable[None]]) -> None:
    assert seen_in(scenario) == [pytest.approx(5, abs=0.5)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="wait_for is made of asyncio.timeout from 3.12 on")
def test_wait_for() -> None:
    assert seen_in(wait_for) == [pytest.approx(5, abs=0.5)]


async def no_timeout(look: Look) -> None:
    await look()


async def after_one(look: Look) -> None:
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
    await look()


async def outlives_one(look: Look) -> None:
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        task = asyncio.ensure_future(look())
    await task


async def in_the_background_of_one(look: Look) -> None:
    async with asyncio.timeout(5):
        task = asyncio.ensure_future(look())
        await asyncio.sleep(0.01)
    await task


async def shielded(look: Look) -> None:
    async with asyncio.timeout(5):
        await asyncio.shield(look())


async def only_waited_for(look: Look) -> None:
    async with asyncio.timeout(5):
        await asyncio.wait([asyncio.ensure_future(look())])


@pytest.mark.parametrize(
    "scenario", [no_timeout, after_one, outlives_one, in_the_background_of_one, shielded, only_waited_for]
)
def test_a_timeout_that_does_not_cancel_it_is_none(scenario: Callable[[Look], Awaitable[None]]) -> None:
    assert seen_in(scenario) == [None]
