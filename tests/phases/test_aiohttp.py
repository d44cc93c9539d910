"""Phases of calls over aiohttp, with delays injected for real."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from otel_consul import ConsulInstrumentor
from otel_consul.observation import Observation
from otel_consul.phases import CURRENT
from testbed.stub_agent import StubAgent, backlog_full_port
from tests.clients import drivers
from tests.clients.drivers import Asyncio
from tests.phases.attribution import duration, lands, mostly, partitions, phases, slow_names
from tests.support.telemetry import Telemetry, events

aiohttp = pytest.importorskip("aiohttp")

DELAY = 0.5
DRIP = 0.3
"""What it takes `drip_bytes=50, drip_every=0.1` at least to send a key of 60 bytes: more than three pieces."""


@pytest.fixture(params=[d for d in drivers.available() if d.style == "asyncio"], ids=lambda d: d.name)
def driver(request: pytest.FixtureRequest) -> Iterator[Asyncio]:
    driver: Asyncio = request.param()
    yield driver
    driver.shutdown()


def session_of(client: Any) -> Any:
    """The client's session, where it keeps one."""
    session = getattr(client.http, "_session", None)
    if session is None:
        pytest.skip("this client makes a session for each call")
    return session


def warm(instrumented: Telemetry, client: Any, driver: Asyncio) -> None:
    """A connection is open from now on, where the client keeps one."""
    driver.call(client, "kv.get", "warm")
    instrumented.clear()


# --- each phase -----------------------------------------------------------------------------------------------------


def test_a_slow_server_is_wait(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", delay=DELAY)
    driver.call(client, "kv.get", "key")
    lands(instrumented.span, wait=DELAY)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_dripping_body_is_receive(instrumented: Telemetry, stub: StubAgent, driver: Asyncio, chunked: bool) -> None:
    client = driver.make(stub.port)
    stub.put("key", "x" * 60)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", drip_bytes=20, drip_every=0.05, chunked=chunked)
    driver.call(client, "kv.get", "key")
    span = instrumented.span
    partitions(span)
    assert phases(span)["receive"] >= 0.95 * (duration(span) - 0.06), phases(span)


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


def test_two_delays_of_one_call_are_told_apart(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    stub.put("key", "x" * 60)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", delay=DELAY, drip_bytes=50, drip_every=0.1)
    driver.call(client, "kv.get", "key")
    found = phases(instrumented.span)
    partitions(instrumented.span)
    assert found["wait"] >= 0.95 * DELAY
    assert found["receive"] >= 0.95 * DRIP


# --- retries and redirects --------------------------------------------------------------------------------------------


def test_a_redirect_is_a_resend(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/old", redirect=f"{stub.base_url}/v1/kv/new", delay=0.3)
    stub.fault("/v1/kv/new", delay=0.2)
    driver.call(client, "kv.get", "old")
    span = instrumented.span
    lands(span, wait=0.5)
    assert (span.attributes or {})["http.request.resend_count"] == 1
    assert events(span)["consul.retry"]["http.response.status_code"] == 302


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


# --- connections ------------------------------------------------------------------------------------------------------


def test_connections_are_told_new_or_reused(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    for _ in range(3):
        driver.call(client, "kv.get", "key")
    found = [span.attributes or {} for span in instrumented.spans]
    keeps = getattr(client.http, "_session", None) is not None and not client.http._session.closed
    assert [a["consul.connection.reused"] for a in found] == ([False, True, True] if keeps else [False] * 3)
    assert {(a["network.peer.address"], a["network.peer.port"]) for a in found} == {("127.0.0.1", stub.port)}
    assert instrumented.total("consul.client.connections.opened") == (1 if keeps else 3) == stub.connections_accepted


# --- errors -------------------------------------------------------------------------------------------------------------


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


# --- other people's HTTP, and what is left behind -------------------------------------------------------------------------


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


def test_a_connection_keeps_no_call_alive(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    """A pooled connection's callbacks have a copy of the context it was made in, for as long as it lives."""
    client = driver.make(stub.port)
    session_of(client)

    async def call_without_timer() -> None:
        # timers have copies too, for a time: none of these here
        client.http._session._timeout = aiohttp.ClientTimeout(total=None)
        client.http._session.connector._keepalive_timeout = None
        await client.kv.get("key")

    gc.collect()
    before = [o for o in gc.get_objects() if type(o) is Observation]  # other tests'
    driver.run(call_without_timer)
    gc.collect()
    assert [o for o in gc.get_objects() if type(o) is Observation and o not in before] == []
    assert stub.connections_open == 1


def test_a_finished_call_keeps_no_body_alive(instrumented: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    client = driver.make(stub.port)
    before = [o for o in gc.get_objects() if type(o) is Observation]  # other tests'
    driver.call(client, "kv.get", "key")
    after = [o for o in gc.get_objects() if type(o) is Observation and o not in before]
    assert [o.answer for o in after if o.answer is not None] == []


# --- on and off ---------------------------------------------------------------------------------------------------------


def wrapped_places() -> dict[str, Any]:
    """What the signals wrap, as it is now."""
    from otel_consul.transports import aiohttp_signals

    places = {}
    for wrap in aiohttp_signals.SIGNALS._wraps:
        cls, name = wrap.name.split(".")
        places[f"{wrap.module}.{wrap.name}"] = vars(getattr(sys.modules[wrap.module], cls)).get(name)
    return places


def test_every_place_is_there_and_uninstrument_restores_it(telemetry: Telemetry) -> None:
    before = wrapped_places()
    assert all(before.values())
    telemetry.instrument()
    assert not any(now is was for now, was in zip(wrapped_places().values(), before.values(), strict=True))
    ConsulInstrumentor().uninstrument()
    assert wrapped_places() == before


def test_phases_off_wraps_nothing(telemetry: Telemetry, stub: StubAgent, driver: Asyncio) -> None:
    before = wrapped_places()
    telemetry.instrument(phases=False)
    assert wrapped_places() == before
    driver.call(driver.make(stub.port), "kv.get", "key")
    assert not any(key.startswith("consul.phase.") for key in telemetry.span.attributes or {})


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
