"""The signals of urllib3: nothing for other people's HTTP, on and off, and where urllib3 is not as we know it."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from otel_consul import ConsulInstrumentor
from otel_consul.phases import CURRENT, Clock
from otel_consul.transports.urllib3.signals import SIGNALS
from testbed.stub_agent import StubAgent
from tests.clients.drivers import Driver
from tests.support.phases import partitions, phases, wrapped_places
from tests.support.telemetry import Telemetry

requests = pytest.importorskip("requests")
urllib3 = pytest.importorskip("urllib3")


# --- other people's HTTP ----------------------------------------------------------------------------------------------


def test_other_http_traffic_gets_nothing(instrumented: Telemetry, stub: StubAgent) -> None:
    assert requests.get(f"{stub.base_url}/v1/status/leader", timeout=5).status_code == 200
    assert instrumented.all_spans == []
    assert CURRENT.get() is None


def test_http_calls_of_hooks_are_no_part_of_the_call(telemetry: Telemetry, stub: StubAgent, std: Driver) -> None:
    slow = f"{stub.base_url}/v1/status/peers"
    stub.fault("/v1/status/peers", delay=0.2)
    telemetry.instrument(
        request_hook=lambda span, call: requests.get(slow, timeout=5),
        response_hook=lambda span, call, response: requests.get(slow, timeout=5),
    )
    client = std.make(stub.port)
    client.kv.get("key")
    span = telemetry.span
    assert phases(span)["wait"] < 0.15
    assert phases(span)["other"] > 0.19  # the request hook's
    assert "http.request.resend_count" not in (span.attributes or {})
    assert telemetry.total("consul.client.connections.opened") == 1


def test_a_finished_clock_in_a_copied_context_is_left_alone(instrumented: Telemetry, stub: StubAgent) -> None:
    clock = Clock()
    clock.start()
    token = CURRENT.set(clock)
    try:
        clock.stop()
        before = list(clock.times)
        requests.get(f"{stub.base_url}/v1/status/leader", timeout=5)
    finally:
        CURRENT.reset(token)
    assert (clock.times, clock.opened, clock.peer, clock.resends) == (before, 0, None, 0)


# --- on and off -------------------------------------------------------------------------------------------------------


def test_uninstrument_restores_everything(telemetry: Telemetry) -> None:
    before = wrapped_places(SIGNALS)
    telemetry.instrument()
    assert all(
        now is not was for now, was in zip(wrapped_places(SIGNALS).values(), before.values(), strict=True) if was
    )
    ConsulInstrumentor().uninstrument()
    assert wrapped_places(SIGNALS) == before


def test_a_strangers_wrapper_on_top_survives(telemetry: Telemetry, stub: StubAgent, std: Driver) -> None:
    pool = urllib3.connectionpool.HTTPConnectionPool
    original = pool._get_conn
    telemetry.instrument()
    ours = pool._get_conn
    calls = []

    def stranger(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(self)
        return ours(self, *args, **kwargs)

    pool._get_conn = stranger
    try:
        telemetry.uninstrument()
        assert pool._get_conn is stranger
        client = std.make(stub.port)
        client.kv.get("key")
        assert calls
        telemetry.instrument()  # wraps the stranger's; what is left of the first time must not count again
        client.http.session.close()
        stub.fault("/v1/kv/old", redirect=f"{stub.base_url}/v1/kv/new")
        client.kv.get("old")
        assert (telemetry.span.attributes or {})["http.request.resend_count"] == 1
        assert telemetry.total("consul.client.connections.opened") == 1
        telemetry.uninstrument()
        assert pool._get_conn is stranger
    finally:
        pool._get_conn = original


# --- another urllib3 --------------------------------------------------------------------------------------------------


def test_an_unexpected_shape_costs_one_mark_only(
    telemetry: Telemetry,
    stub: StubAgent,
    std: Driver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delattr(urllib3.util.connection, "_set_socket_options")
    monkeypatch.setattr(
        urllib3.util.connection, "create_connection", lambda address, *_, **__: socket.create_connection(address)
    )
    caplog.set_level("INFO", "otel_consul")
    telemetry.instrument()
    std.make(stub.port).kv.get("key")
    assert [r.message for r in caplog.records if "_set_socket_options" in r.message]
    assert phases(telemetry.span)["connect"] > 0
    partitions(telemetry.span)


def test_a_function_that_takes_more_than_we_know_is_left_alone(
    telemetry: Telemetry,
    stub: StubAgent,
    std: Driver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = urllib3.connectionpool.HTTPConnectionPool._get_conn

    def newer(self: Any, timeout: Any = None, *, patience: int = 0) -> Any:
        return real(self, timeout)

    monkeypatch.setattr(urllib3.connectionpool.HTTPConnectionPool, "_get_conn", newer)
    caplog.set_level("INFO", "otel_consul")
    telemetry.instrument()
    assert urllib3.connectionpool.HTTPConnectionPool._get_conn is newer
    assert [r.message for r in caplog.records if "_get_conn" in r.message]
    std.make(stub.port).kv.get("key")
    partitions(telemetry.span)
