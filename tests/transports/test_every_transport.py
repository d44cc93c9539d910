"""Phases that every transport with signals of its own has, with delays injected for real."""

from __future__ import annotations

import pytest

from otel_consul.transports.aiohttp import signals as aiohttp_signals
from otel_consul.transports.urllib3 import signals as urllib3_signals
from testbed.stub_agent import StubAgent
from tests.clients.drivers import Driver
from tests.support.phases import DELAY, DRIP, duration, lands, partitions, phases, warm, wrapped_places
from tests.support.telemetry import Telemetry, events

SIGNALS = {"sync": urllib3_signals.SIGNALS, "asyncio": aiohttp_signals.SIGNALS}
STYLES = tuple(SIGNALS)


def test_a_slow_server_is_wait(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    client = driver.make(stub.port)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", delay=DELAY)
    driver.call(client, "kv.get", "key")
    lands(instrumented.span, wait=DELAY)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_dripping_body_is_receive(instrumented: Telemetry, stub: StubAgent, driver: Driver, chunked: bool) -> None:
    client = driver.make(stub.port)
    stub.put("key", "x" * 60)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", drip_bytes=20, drip_every=0.05, chunked=chunked)
    driver.call(client, "kv.get", "key")
    span = instrumented.span
    partitions(span)
    assert phases(span)["receive"] >= 0.95 * (duration(span) - 0.06), phases(span)


def test_two_delays_of_one_call_are_told_apart(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    client = driver.make(stub.port)
    stub.put("key", "x" * 60)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", delay=DELAY, drip_bytes=50, drip_every=0.1)
    driver.call(client, "kv.get", "key")
    found = phases(instrumented.span)
    partitions(instrumented.span)
    assert found["wait"] >= 0.95 * DELAY
    assert found["receive"] >= 0.95 * DRIP


def test_a_redirect_is_a_resend(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    client = driver.make(stub.port)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/old", redirect=f"{stub.base_url}/v1/kv/new", delay=0.3)
    stub.fault("/v1/kv/new", delay=0.2)
    if isinstance(driver.outcome(client, "kv.get", "old"), Exception):
        pytest.skip("this client follows none")
    span = instrumented.span
    lands(span, wait=0.5)
    assert (span.attributes or {})["http.request.resend_count"] == 1
    assert events(span)["consul.retry"]["http.response.status_code"] == 302


def test_phases_off_wraps_nothing(telemetry: Telemetry, stub: StubAgent, driver: Driver) -> None:
    signals = SIGNALS[driver.style]
    before = wrapped_places(signals)
    telemetry.instrument(phases=False)
    assert wrapped_places(signals) == before
    driver.call(driver.make(stub.port), "kv.get", "key")
    assert not any(key.startswith("consul.phase.") for key in telemetry.span.attributes or {})
