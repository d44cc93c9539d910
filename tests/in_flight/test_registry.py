"""Which calls are open: exact whatever ends a call, wherever it runs, and nothing finished is kept."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import consul
import consul.aio
import pytest

from otel_consul import open_calls
from testbed.stub_agent import StubAgent
from tests.support.stalls import eventually
from tests.support.telemetry import Telemetry, events

ACTIVE = "consul.client.active_operations"
OLDEST = "consul.client.oldest_active_operation.age"


def test_gauges_follow_the_open_calls(
    instrumented: Telemetry, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    assert instrumented.total(ACTIVE) == 0
    client = consul.Consul(port=hanging.port)
    for _ in range(3):
        in_thread(lambda: client.kv.get("hang"))
    hanging.wait_for_requests(3)
    assert instrumented.total(ACTIVE) == 3
    ((attributes, age),) = instrumented.points(OLDEST)
    assert attributes == {"consul.operation": "kv.get", "consul.blocking": False}
    ages = [call.age for call in open_calls()]
    assert ages == sorted(ages, reverse=True)
    assert 0 < age <= ages[0]
    hanging.stop()
    eventually(lambda: instrumented.total(ACTIVE) == 0)
    assert instrumented.total(OLDEST) == 0


def test_many_threads_and_every_ending_leave_nothing(instrumented: Telemetry, stub: StubAgent) -> None:
    stub.put("a", "1")
    stub.fault("/v1/kv/reset", stop="reset")
    stub.fault("/v1/kv/500", status=500)

    def work(number: int) -> None:
        client = consul.Consul(port=stub.port)
        for key in ("a", "missing", "500", "reset"):
            with nullcontext() if key in ("a", "missing") else pytest.raises(Exception):
                client.kv.get(key)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(64)))
    assert open_calls() == []
    assert instrumented.total(ACTIVE) == 0
    assert instrumented.total("consul.client.operations") == 256 == len(instrumented.spans)


def test_cancelled_tasks_leave_nothing(instrumented: Telemetry, hanging: StubAgent) -> None:
    async def main() -> None:
        client = consul.aio.Consul(port=hanging.port)
        tasks = [asyncio.create_task(client.kv.get("hang")) for _ in range(20)]
        await asyncio.sleep(0.05)
        assert len(open_calls()) == 20
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert open_calls() == []
        await client.http.close()

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_coroutine_that_is_never_awaited_is_no_call(instrumented: Telemetry, stub: StubAgent) -> None:
    async def main() -> None:
        client = consul.aio.Consul(port=stub.port)
        coroutine = client.kv.get("a")
        assert open_calls() == []
        del coroutine
        gc.collect()
        await client.http.close()

    asyncio.run(main())
    assert open_calls() == []
    assert instrumented.spans == []
    assert instrumented.total("consul.client.operations") == 0


def test_a_loop_that_ends_with_open_calls_abandons_them(instrumented: Telemetry, hanging: StubAgent) -> None:
    async def main() -> None:
        client = consul.aio.Consul(port=hanging.port)
        main.task = asyncio.create_task(client.kv.get("hang"))  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        main.close = client.http.close  # type: ignore[attr-defined]

    asyncio.run(main())
    asyncio.run(main.close())  # type: ignore[attr-defined]
    assert instrumented.span.attributes["consul.outcome"] == "abandoned"  # type: ignore[index]
    assert "consul.abandoned" in events(instrumented.span)
    assert open_calls() == []


def test_a_loop_that_is_just_dropped_abandons_them(instrumented: Telemetry, hanging: StubAgent) -> None:
    loop = asyncio.new_event_loop()

    async def start() -> Any:
        client = consul.aio.Consul(port=hanging.port)
        start.task = loop.create_task(client.kv.get("hang"))  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        return client

    client = loop.run_until_complete(start())
    loop.run_until_complete(client.http.close())
    assert len(open_calls()) in (0, 1)
    start.task.get_coro().close()  # type: ignore[attr-defined] # what the collector does to a generator
    assert open_calls() == []
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_finished_calls_and_clients_are_not_kept(instrumented: Telemetry, stub: StubAgent) -> None:
    from otel_consul.call.observed_call import ObservedCall

    def observations() -> set[int]:
        gc.collect()
        return {id(one) for one in gc.get_objects() if type(one) is ObservedCall}

    before = observations()  # what earlier tests' loops and timers still hold
    client = consul.Consul(port=stub.port)
    client.kv.get("a")
    stub.fault("/v1/kv/*", status=500)
    with pytest.raises(consul.ConsulException):
        client.kv.get("a")
    ref = weakref.ref(client)
    del client
    assert observations() <= before
    assert ref() is None


def test_uninstrument_abandons_what_is_open(
    instrumented: Telemetry, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.kv.get("hang"))
    eventually(lambda: [call.phase for call in open_calls()] == ["wait"])
    instrumented.uninstrument()
    span = instrumented.span
    assert span.attributes["consul.outcome"] == "abandoned"  # type: ignore[index]
    assert span.status.status_code.name == "ERROR"
    event = events(span)["consul.abandoned"]
    assert event["consul.phase"] == "wait"
    assert event["consul.elapsed"] > 0
    assert open_calls() == []
    assert not [thread for thread in threading.enumerate() if thread.name == "otel-consul"]
    hanging.stop()  # the call ends now, for its caller: that is not told a second time
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "hung"])
    assert len(instrumented.spans) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_with_none(
    instrumented: Telemetry, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.kv.get("hang"))
    hanging.wait_for_requests(1)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, str(len(open_calls())).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    assert os.read(read, 10) == b"0"
    os.close(read)
    assert len(open_calls()) == 1
