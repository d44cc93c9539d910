"""Whoever waits, the program's own line is named: threads, tasks, and futures nobody waits for yet."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import consul
import consul.aio
import pytest

import otel_consul
from otel_consul import OpenCall
from testbed.stub_agent import StubAgent
from tests.support.stalls import eventually
from tests.support.telemetry import Telemetry

pytestmark = pytest.mark.usefixtures("instrumented")
HERE = __file__


def line_of(function: Callable[..., Any], text: str) -> int:
    """The number of the line with `text` in `function`."""
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if text in line)


def functions(call: OpenCall) -> list[str]:
    return [frame.function for frame in call.frames]


def the_open_call() -> OpenCall:
    (call,) = eventually(otel_consul.open_calls)
    return call


# --- threads ----------------------------------------------------------------------------------------------------------


def guilty(client: Any) -> Any:
    return client.kv.get("hang")


def above(client: Any) -> Any:
    return guilty(client)


def test_a_thread(in_thread: Callable[..., Any], hanging: StubAgent) -> None:
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: above(client), "reader")
    hanging.wait_for_requests(1)
    call = the_open_call()
    assert (call.file, call.line, call.function) == (HERE, line_of(guilty, "kv.get"), "guilty")
    assert functions(call) == ["run", "<lambda>", "above", "guilty"]  # nothing of threading, consul, requests, urllib3
    assert call.stack().splitlines()[-1] == f"{HERE}:{call.line} guilty"
    assert call.waiter == "reader"


def test_a_thread_of_a_pool_that_calls_the_library_directly(hanging: StubAgent) -> None:
    client = consul.Consul(port=hanging.port)
    with ThreadPoolExecutor(1, "pool") as pool:
        future = pool.submit(client.kv.get, "hang")
        hanging.wait_for_requests(1)
        call = the_open_call()
        hanging.stop()
        assert future.exception()
    assert call.waiter == "pool_0"
    assert functions(call) == ["run"]  # concurrent.futures made the call
    assert "concurrent" in str(call.file)


class OwnTransport(consul.std.HTTPClient):
    def get(self, callback: Any, path: Any, params: Any = None, **options: Any) -> Any:
        return super().get(callback, path, params)


def test_a_transport_of_the_users_own_is_not_the_caller(in_thread: Callable[..., Any], hanging: StubAgent) -> None:
    class Client(consul.base.Consul):
        def http_connect(self, *args: Any, **options: Any) -> Any:
            return OwnTransport(*args, **options)

        connect = http_connect

    client = Client(port=hanging.port)
    in_thread(lambda: guilty(client))
    hanging.wait_for_requests(1)
    assert the_open_call().function == "guilty"


# --- asyncio ----------------------------------------------------------------------------------------------------------


async def reads(client: Any) -> Any:
    return await client.kv.get("hang")


async def outer(client: Any) -> Any:
    async with contextlib.AsyncExitStack():
        return await reads(client)


async def generates(client: Any) -> AsyncIterator[Any]:
    yield await reads(client)


async def iterates(client: Any) -> None:
    async for _ in generates(client):
        pass


class Awaitable:
    def __init__(self, client: Any) -> None:
        self.client = client

    def __await__(self) -> Any:
        return (yield from reads(self.client).__await__())


async def awaits_an_object(client: Any) -> Any:
    return await Awaitable(client)


async def gathers(client: Any) -> Any:
    return await asyncio.gather(client.kv.get("hang"))


async def waits_for(client: Any) -> Any:
    return await asyncio.wait_for(client.kv.get("hang"), 30)


async def lets_go(client: Any) -> Any:
    task = asyncio.create_task(client.kv.get("hang"))
    await asyncio.sleep(30)
    return await task


@pytest.mark.parametrize(
    ("work", "chain", "caller"),
    [
        (reads, ["reads"], reads),
        (outer, ["outer", "reads"], reads),
        (iterates, ["iterates", "generates", "reads"], reads),
        (awaits_an_object, ["awaits_an_object", "__await__", "reads"], reads),
        # a task of its own has no line of the program: there it is the one that made the call
        (gathers, ["gathers"], gathers),
        (lets_go, ["lets_go"], lets_go),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_await_chain_of_a_task(work: Any, chain: list[str], caller: Any, hanging: StubAgent) -> None:
    call = asyncio.run(open_in_task(work, hanging))
    assert functions(call) == chain
    assert (call.file, call.line) == (HERE, line_of(caller, "kv.get"))


class OwnAioTransport(consul.aio.HTTPClient):
    async def get(self, *args: Any, **kwargs: Any) -> Any:
        return await super().get(*args, **kwargs)


def test_an_aio_transport_of_the_users_own_is_not_the_caller(hanging: StubAgent) -> None:
    async def with_own_transport(client: Any) -> Any:
        client.http.__class__ = OwnAioTransport
        return await reads(client)

    call = asyncio.run(open_in_task(with_own_transport, hanging))
    assert call.function == "reads"


def test_wait_for_names_its_caller(hanging: StubAgent) -> None:
    call = asyncio.run(open_in_task(waits_for, hanging))  # a task of its own until Python 3.12
    assert (call.function, call.line) == ("waits_for", line_of(waits_for, "kv.get"))


async def open_in_task(work: Any, agent: StubAgent) -> OpenCall:
    """The open call, as another thread sees it while the loop is idle."""
    client = consul.aio.Consul(port=agent.port)
    task = asyncio.create_task(work(client), name="the task")
    await asyncio.to_thread(agent.wait_for_requests, 1)
    call = await asyncio.to_thread(the_open_call)
    if work not in (gathers, waits_for, lets_go):
        assert call.waiter == "the task"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    pending = asyncio.all_tasks() - {asyncio.current_task()}
    for other in pending:
        other.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    await client.http.close()
    return call


def test_neither_task_nor_frames_are_kept(hanging: StubAgent) -> None:
    import gc
    import weakref

    class Canary: ...

    async def main() -> Any:
        canary = Canary()
        client = consul.aio.Consul(port=hanging.port)

        async def waits(held: Any) -> None:
            await client.kv.get("hang")

        task = asyncio.create_task(waits(canary))
        await asyncio.to_thread(hanging.wait_for_requests, 1)
        calls = await asyncio.to_thread(otel_consul.open_calls)
        assert len(calls) == 1
        refs = [weakref.ref(task), weakref.ref(canary)]
        task.cancel()
        await asyncio.wait([task])
        del task, canary
        await client.http.close()
        return refs

    refs = asyncio.run(main())
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


# --- futures ----------------------------------------------------------------------------------------------------------


def test_a_future_that_nobody_waits_for_names_the_line_that_made_it(telemetry: Telemetry) -> None:
    class FutureTransport(consul.base.HTTPClient):
        def get(self, callback: Any, path: Any, *args: Any, **options: Any) -> Any:
            return future

        post = put = delete = close = get

    FutureTransport.__module__ = "tornado.made_up"

    class Client(consul.base.Consul):
        def http_connect(self, *args: Any, **options: Any) -> Any:
            transport = FutureTransport(*args, **options)
            transport.client = Tornadic()
            return transport

        connect = http_connect

    async def main() -> OpenCall:
        nonlocal future
        future = asyncio.get_running_loop().create_future()
        given = guilty(Client())
        assert given is future
        (call,) = otel_consul.open_calls()
        future.cancel()
        await asyncio.sleep(0)
        return call

    class Tornadic:
        pass

    Tornadic.__module__ = "tornado.simple_httpclient"
    future: Any = None
    call = asyncio.run(main())
    assert (call.function, call.line) == ("guilty", line_of(guilty, "kv.get"))
    assert call.waiter is None
    assert otel_consul.open_calls() == []


def test_stacks_hold_no_source_and_no_values(in_thread: Callable[..., Any], hanging: StubAgent) -> None:
    secret = "5ec7e7-t0ken"
    client = consul.Consul(port=hanging.port, token=secret)
    in_thread(lambda: client.kv.get("hang", token=secret))
    hanging.wait_for_requests(1)
    call = the_open_call()
    assert secret not in repr(call) + call.stack()
    assert all(len(line.rsplit(":", 1)[1].split()) == 2 for line in call.stack().splitlines())


def test_a_thread_that_is_gone_has_no_stack() -> None:
    from otel_consul.stacks import waiters
    from otel_consul.stacks.frames import of_threads

    assert waiters.stack(1, None, of_threads()) == []
    assert waiters.stack(waiters.nobody, None, of_threads()) == []
    assert waiters.name(waiters.nobody, {}) is None
    assert waiters.name(threading.get_ident(), waiters.names()) == threading.current_thread().name


def test_without_the_gil_no_stack_of_another_thread_is_read(
    monkeypatch: pytest.MonkeyPatch, instrumented: Telemetry, hanging: StubAgent, in_thread: Callable[..., Any]
) -> None:
    from otel_consul.stacks import frames

    monkeypatch.setattr(frames, "hold_still", lambda: False)
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.kv.get("hang"))
    hanging.wait_for_requests(1)
    call = the_open_call()
    assert call.operation == "kv.get"
    assert call.frames == ()
