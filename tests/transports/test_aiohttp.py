"""Phases of calls over aiohttp, with delays injected for real."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from testbed.stub_agent import StubAgent, backlog_full_port
from tests.clients import drivers
from tests.clients.drivers import Asyncio
from tests.support.phases import DELAY, lands, mostly, partitions, phases, session_of, slow_names, warm
from tests.support.telemetry import Telemetry, events

aiohttp = pytest.importorskip("aiohttp")

STYLES = ("asyncio",)


# --- each phase -------------------------------------------------------------------------------------------------------


def test_a_slow_name_is_dns(
    instrumented: Telemetry, stub: StubAgent, driver: Asyncio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "HOST", "consul.test")
    client = driver.make(stub.port)
    with slow_names(monkeypatch, DELAY, "consul.test"):
        driver.call(client, "kv.get", "key")
    lands(instrumented.span, dns=DELAY)


def test_every_call_that_waits_for_one_lookup_waited_for_dns(
    instrumented: Telemetry, stub: StubAgent, driver: Asyncio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "HOST", "consul.test")
    client = driver.make(stub.port)
    with slow_names(monkeypatch, DELAY, "consul.test"):
        driver.many(client, 3, 3, "kv.get", "key")
    assert len(instrumented.spans) == 3
    for span in instrumented.spans:
        lands(span, dns=DELAY)


def test_a_slow_connect_is_connect_and_where_the_time_out_struck(instrumented: Telemetry, driver: Asyncio) -> None:
    with backlog_full_port() as port:
        client = driver.make(port)
        outcome = driver.expired(lambda: client.kv.get("key"), DELAY, "wait_for")
    assert isinstance(outcome, asyncio.TimeoutError)
    span = instrumented.span
    mostly(span, "connect")
    assert {"connect"} == {e["consul.phase"] for e in events(span).values()}
    assert instrumented.total("consul.client.connections.opened") == 0


def test_a_slow_handshake_is_tls(instrumented: Telemetry, driver: Asyncio) -> None:
    with StubAgent(tls=True, delay_handshake=DELAY) as agent:
        client = driver.make(agent.port, scheme="https", verify=False)
        driver.call(client, "kv.get", "key")
        driver.call(client, "kv.get", "key")
        driver.close(client)
    first, second = instrumented.spans
    lands(first, tls=DELAY)
    if (second.attributes or {})["consul.connection.reused"]:
        assert phases(second)["tls"] == phases(second)["connect"] == 0
    else:
        lands(second, tls=DELAY)


def test_a_slow_upload_is_send(
    instrumented: Telemetry, stub: StubAgent, driver: Asyncio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body is written by a task of its own, while the call already waits for the answer."""
    from aiohttp import payload

    name = "write_with_length" if hasattr(payload.BytesPayload, "write_with_length") else "write"
    real = getattr(payload.BytesPayload, name)

    async def slow(self: Any, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(DELAY)
        return await real(self, *args, **kwargs)

    client = driver.make(stub.port)
    warm(instrumented, client, driver)
    monkeypatch.setattr(payload.BytesPayload, name, slow)
    stub.fault("/v1/kv/key", delay=0.2)
    driver.call(client, "kv.put", "key", b"value")
    lands(instrumented.span, send=DELAY, wait=0.2)


def test_an_exhausted_pool_is_pool(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    connector = session_of(client).connector
    connector._limit = 1
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", delay=DELAY)
    driver.many(client, 2, 2, "kv.get", "key")
    first, second = instrumented.spans
    lands(first, wait=DELAY)
    lands(second, pool=DELAY, wait=DELAY)
    assert (second.attributes or {})["consul.connection.reused"] is True


def test_a_slow_callback_is_decode(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    driver.through_seam(client, lambda response: time.sleep(DELAY), "/v1/status/leader")
    lands(instrumented.span, decode=DELAY)


# --- retries and connections ------------------------------------------------------------------------------------------


def test_aiohttp_sends_again_over_a_new_connection(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    session_of(client)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", stop="close", times=1, delay=0.2)
    result = driver.outcome(client, "kv.get", "key")
    span = instrumented.span
    if isinstance(result, BaseException):
        pytest.skip("aiohttp before 3.10 does not")
    lands(span, wait=0.2)
    assert (span.attributes or {})["http.request.resend_count"] == 1
    assert (span.attributes or {})["consul.connection.reused"] is False
    assert events(span)["consul.retry"]["error.type"] == "aiohttp.client_exceptions.ServerDisconnectedError"


def test_connections_are_told_new_or_reused(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    for _ in range(3):
        driver.call(client, "kv.get", "key")
    found = [span.attributes or {} for span in instrumented.spans]
    keeps = getattr(client.http, "_session", None) is not None and not client.http._session.closed
    assert [a["consul.connection.reused"] for a in found] == ([False, True, True] if keeps else [False] * 3)
    assert {(a["network.peer.address"], a["network.peer.port"]) for a in found} == {("127.0.0.1", stub.port)}
    assert instrumented.total("consul.client.connections.opened") == (1 if keeps else 3) == stub.connections_accepted


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_body_that_hangs_struck_in_receive(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    stub.put("key", "x" * 100)
    stub.fault("/v1/kv/key", stop="hang", stop_after="half")
    driver.expired(lambda: client.kv.get("key"), DELAY, "wait_for")
    mostly(instrumented.span, "receive")
    assert {"receive"} == {e["consul.phase"] for e in events(instrumented.span).values()}


def test_a_cancelled_call_was_waiting(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    hung = stub.fault("/v1/kv/key", stop="hang")
    driver.cancelled(lambda: client.kv.get("key"), lambda: hung.hits > 0)
    assert events(instrumented.span)["consul.cancelled"]["consul.phase"] == "wait"
    partitions(instrumented.span)


def test_a_lookup_that_outlives_its_call_marks_nothing(
    instrumented: Telemetry, stub: StubAgent, driver: Asyncio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "HOST", "consul.test")
    client = driver.make(stub.port)
    with slow_names(monkeypatch, DELAY, "consul.test"):
        driver.expired(lambda: client.kv.get("key"), 0.3, "wait_for")
        driver.run(lambda: asyncio.sleep(DELAY))
    mostly(instrumented.span, "dns")
