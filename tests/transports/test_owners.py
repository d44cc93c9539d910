"""HTTP that somebody sends with a copy of a call's context, while the call runs, is no part of it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.stub_agent import StubAgent
from tests.clients.drivers import Asyncio, Driver
from tests.support.phases import lands, phases
from tests.support.telemetry import Telemetry

requests = pytest.importorskip("requests")
DELAY = 0.4
SLOWER = 0.2
STYLES = ("asyncio",)


@pytest.fixture
def other() -> Iterator[StubAgent]:
    """Somebody else's server."""
    with StubAgent() as agent:
        agent.fault(delay=SLOWER)
        yield agent


def only_ours(telemetry: Telemetry, stub: StubAgent) -> None:
    span = telemetry.spans[-1]
    lands(span, wait=DELAY)
    attributes = span.attributes or {}
    assert attributes["network.peer.port"] == stub.port
    assert "http.request.resend_count" not in attributes
    assert phases(span)["wait"] > 0.9 * DELAY


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_thread_that_an_adapter_starts(
    instrumented: Telemetry, stub: StubAgent, other: StubAgent, std: Driver, when: str
) -> None:
    threads = []

    class Mirroring(requests.adapters.HTTPAdapter):  # type: ignore[misc]
        def send(self, *args: Any, **kwargs: Any) -> Any:
            context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(requests.get, f"{other.base_url}/v1/status/leader"))
            threads.append(thread)
            if when == "before":
                thread.start()
                while not other.requests:
                    pass
            else:
                threading.Timer(DELAY / 2, thread.start).start()
            return super().send(*args, **kwargs)

    client = std.make(stub.port)
    client.http.session.mount("http://", Mirroring())
    stub.fault("/v1/kv/key", delay=DELAY)
    std.call(client, "kv.get", "key")
    only_ours(instrumented, stub)
    for thread in threads:
        thread.join()


def tracing(session: Any, started: Any) -> None:
    """Have `started` called when the session starts a request."""
    import aiohttp

    trace = aiohttp.TraceConfig()

    async def on_start(*_: Any) -> None:
        started()

    trace.on_request_start.append(on_start)
    trace.freeze()
    session.trace_configs.append(trace)


def session_of(client: Any) -> Any:
    session = getattr(client.http, "_session", None)
    if session is None:
        pytest.skip("this client makes a session for each call")
    return session


@pytest.mark.parametrize("library", ["aiohttp", "requests"])
def test_a_task_that_a_trace_starts(
    instrumented: Telemetry, stub: StubAgent, other: StubAgent, driver: Asyncio, library: str
) -> None:
    import aiohttp

    client = driver.make(stub.port)
    session = session_of(client)
    url = f"{other.base_url}/v1/status/leader"

    async def fetch() -> None:
        async with aiohttp.ClientSession() as apart, apart.get(url) as answer:
            await answer.read()

    async def call() -> None:
        await client.kv.get("warm")
        stub.fault("/v1/kv/key", delay=DELAY)
        tasks = []
        work = fetch if library == "aiohttp" else lambda: asyncio.to_thread(requests.get, url)
        tracing(session, lambda: tasks.append(asyncio.ensure_future(work())))  # type: ignore[operator]
        await client.kv.get("key")
        await asyncio.gather(*tasks)

    driver.run(call)
    only_ours(instrumented, stub)


def test_a_transport_may_have_a_task_of_its_own(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    """As `asyncio.wait_for` has before Python 3.12."""
    client = driver.make(stub.port)
    http = client.__dict__["http"]
    get = http.get

    async def in_a_task(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.ensure_future(get(*args, **kwargs))

    http.get = in_a_task
    stub.fault("/v1/kv/key", delay=DELAY)
    driver.call(client, "kv.get", "key")
    only_ours(instrumented, stub)
