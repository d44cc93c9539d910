"""Which task waits, wherever loops run, and who awaits that task, where Python can tell."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import consul.aio
import pytest

import otel_consul
from otel_consul.stacks import waiters
from testbed.stub_agent import StubAgent
from tests.support.stalls import eventually
from tests.support.telemetry import Telemetry

tells_who_awaits = pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio does not tell who awaits a task")


async def task_and_current() -> tuple[Any, Any]:
    return waiters.task(), asyncio.current_task()


def test_a_loop_that_has_moved_to_another_thread() -> None:
    moved, here = asyncio.new_event_loop(), asyncio.new_event_loop()
    busy, over = threading.Event(), threading.Event()
    found, current = moved.run_until_complete(task_and_current())
    assert found is current

    async def keep_busy() -> None:
        busy.set()
        over.wait()

    thread = threading.Thread(target=moved.run_until_complete, args=(keep_busy(),))
    thread.start()
    busy.wait()
    try:
        found, current = here.run_until_complete(task_and_current())
    finally:
        over.set()
        thread.join()
        moved.close()
        here.close()
    assert found is current


# --- tasks that await tasks -------------------------------------------------------------------------------------------


async def fetch(client: Any) -> Any:
    return await client.kv.get("hang")


async def in_a_group(client: Any) -> None:
    async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined]
        group.create_task(fetch(client))


async def gathered(client: Any) -> None:
    await asyncio.gather(fetch(client), asyncio.sleep(0))


async def awaited(client: Any) -> None:
    await asyncio.create_task(fetch(client))


async def awaited_by_two(client: Any) -> None:
    task = asyncio.create_task(fetch(client))
    await asyncio.gather(first(task), second(task))


async def first(task: Any) -> None:
    await task


async def second(task: Any) -> None:
    await task


def functions_of(hanging: StubAgent, program: Any) -> list[str]:
    """The functions in the stack of the one call that `program` leaves open."""

    async def main() -> list[str]:
        client = consul.aio.Consul(port=hanging.port)
        running = asyncio.create_task(program(client))
        (call,) = await asyncio.to_thread(eventually, otel_consul.open_calls)  # another thread looks, as ours does
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.http._session.close()
        return [frame.function for frame in call.frames]

    return asyncio.run(main())


@tells_who_awaits
@pytest.mark.parametrize("program", [in_a_group, gathered, awaited], ids=lambda program: program.__name__)
def test_the_tasks_that_await_it_are_in_the_stack(instrumented: Telemetry, hanging: StubAgent, program: Any) -> None:
    assert functions_of(hanging, program) == [program.__name__, *inside(program), "fetch"]


def inside(program: Any) -> list[str]:
    """The group's own functions, between the task that awaits and the one that is awaited."""
    return ["__aexit__", "_aexit"] if program is in_a_group else []


@tells_who_awaits
def test_two_that_await_it_are_no_chain(instrumented: Telemetry, hanging: StubAgent) -> None:
    assert functions_of(hanging, awaited_by_two) == ["fetch"]


@tells_who_awaits
def test_a_circle_has_an_end() -> None:
    class Circle(asyncio.Future):  # type: ignore[type-arg]
        _asyncio_awaited_by: Any = None

    loop = asyncio.new_event_loop()
    one, two = Circle(loop=loop), Circle(loop=loop)
    one._asyncio_awaited_by, two._asyncio_awaited_by = {two}, {one}
    assert waiters.stack(lambda: one, None, {}) == []
    loop.close()
