"""The signals of aiohttp: nothing for other people's HTTP, nothing left behind, on and off."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from otel_consul import ConsulInstrumentor
from otel_consul.call.observed_call import ObservedCall
from otel_consul.phases import CURRENT
from otel_consul.transports.aiohttp.signals import SIGNALS
from testbed.stub_agent import StubAgent
from tests.clients.drivers import Asyncio
from tests.support.phases import lands, session_of, wrapped_places
from tests.support.telemetry import Telemetry

aiohttp = pytest.importorskip("aiohttp")

STYLES = ("asyncio",)


# --- other people's HTTP, and what is left behind ---------------------------------------------------------------------


async def fetch(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        await response.read()
        return int(response.status)


def test_other_http_traffic_gets_nothing(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    assert driver.run(lambda: fetch(f"{stub.base_url}/v1/status/leader")) == 200
    assert instrumented.all_spans == []


def test_the_callers_context_is_as_before(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)

    async def calls() -> list[Any]:
        seen = []
        await client.kv.get("new-connection")
        seen.append(CURRENT.get())
        await client.kv.get("old-connection")
        seen.append(CURRENT.get())
        return seen

    assert driver.run(calls) == [None, None]


def test_the_call_after_an_error_has_its_phases(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    stub.fault("/v1/kv/bad", stop="reset")

    async def calls() -> None:
        with pytest.raises(aiohttp.ClientError):
            await client.kv.put("bad", "value")
        stub.fault("/v1/kv/key", delay=0.3)
        await client.kv.get("key")

    driver.run(calls)
    lands(instrumented.spans[-1], wait=0.3)


def calls_kept_by(driver: Asyncio, call: Callable[[], Awaitable[Any]]) -> list[ObservedCall]:
    gc.collect()
    before = [o for o in gc.get_objects() if type(o) is ObservedCall]  # other tests'
    driver.run(call)
    gc.collect()
    return [o for o in gc.get_objects() if type(o) is ObservedCall and o not in before]


def test_a_connection_keeps_no_call_alive(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    """A pooled connection's callbacks have a copy of the context it was made in, for as long as it lives."""
    client = driver.make(stub.port)
    session_of(client)

    async def call_without_timer() -> None:
        # timers have copies too, for a time: none of these here
        client.http._session._timeout = aiohttp.ClientTimeout(total=None)
        client.http._session.connector._keepalive_timeout = None
        await client.kv.get("key")

    assert calls_kept_by(driver, call_without_timer) == []
    assert stub.connections_open == 1
    assert dict(instrumented.span.attributes or {})["consul.connection.reused"] is False


def test_nor_does_one_to_a_unix_socket(instrumented: Telemetry, driver: Asyncio, tmp_path: Path) -> None:
    client = driver.make(1)
    session_of(client)
    path = str(tmp_path / "agent")
    answered = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nX-Consul-Index: 1\r\nContent-Length: 0\r\n\r\n")
        await answered.wait()
        writer.close()

    async def call() -> None:
        server = await asyncio.start_unix_server(answer, path)
        connector = aiohttp.UnixConnector(path, keepalive_timeout=None)
        own, client.http._session = client.http._session, aiohttp.ClientSession(connector=connector)
        client.http._session._timeout = aiohttp.ClientTimeout(total=None)
        await own.close()
        await client.kv.get("key")
        answered.set()
        server.close()

    assert calls_kept_by(driver, call) == []
    assert dict(instrumented.span.attributes or {})["consul.connection.reused"] is False


def test_a_protocol_made_without_a_loop_while_a_call_connects(
    instrumented: Telemetry, stub: StubAgent, driver: Asyncio
) -> None:
    from aiohttp.client_proto import ResponseHandler

    client = driver.make(stub.port)
    made: list[Any] = []
    loop = asyncio.new_event_loop()

    def elsewhere() -> None:
        made.append(ResponseHandler(loop))

    async def call() -> None:
        connector = session_of(client).connector
        factory = connector._factory

        def make() -> Any:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            return factory()

        connector._factory = make
        await client.kv.get("key")

    driver.run(call)
    loop.close()
    assert len(made) == 1
    assert dict(instrumented.span.attributes or {})["consul.connection.reused"] is False


def test_a_finished_call_keeps_no_body_alive(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    before = [o for o in gc.get_objects() if type(o) is ObservedCall]  # other tests'
    driver.call(client, "kv.get", "key")
    after = [o for o in gc.get_objects() if type(o) is ObservedCall and o not in before]
    assert [o.answer for o in after if o.answer is not None] == []


# --- on and off -------------------------------------------------------------------------------------------------------


def test_every_place_is_there_and_uninstrument_restores_it(telemetry: Telemetry) -> None:
    before = wrapped_places(SIGNALS)
    assert all(before.values())
    telemetry.instrument()
    assert not any(now is was for now, was in zip(wrapped_places(SIGNALS).values(), before.values(), strict=True))
    ConsulInstrumentor().uninstrument()
    assert wrapped_places(SIGNALS) == before


def test_switched_off_in_the_middle_of_a_call(telemetry: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    telemetry.instrument()
    held = stub.fault("/v1/kv/key", delay=0.3)

    async def call() -> Any:
        task = asyncio.ensure_future(client.kv.get("key"))
        while not held.hits:  # noqa: ASYNC110 -- what it waits for happens in another thread
            await asyncio.sleep(0.01)
        telemetry.uninstrument()
        return await task

    assert driver.run(call) is not None
