"""Beside other instrumentations, switched on and off in every order: each sees its own, and nobody anything else's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from otel_consul import ConsulInstrumentor
from testbed.stub_agent import StubAgent
from tests.clients import drivers
from tests.clients.drivers import Driver
from tests.support.telemetry import Telemetry

PARTNERS = {
    "aiohttp_client": "AioHttpClientInstrumentor",
    "asyncio": "AsyncioInstrumentor",
    "httpx": "HTTPXClientInstrumentor",
    "logging": "LoggingInstrumentor",
    "requests": "RequestsInstrumentor",
    "threading": "ThreadingInstrumentor",
    "urllib3": "URLLib3Instrumentor",
}
SEES = {("requests", "requests"), ("requests", "urllib3"), ("aiohttp", "aiohttp_client")}
"""Which partners make spans of the requests of which HTTP libraries."""
ORDERS = [("ours", "theirs"), ("theirs", "ours")]


@pytest.fixture(params=PARTNERS)
def partner(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    module = pytest.importorskip(f"opentelemetry.instrumentation.{request.param}")
    instrumentor = getattr(module, PARTNERS[request.param])()
    yield request.param, instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


@pytest.fixture(
    params=[one for one in drivers.available() if one.name.endswith(("/std", "/aio"))], ids=lambda one: one.name
)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    driver: Driver = request.param()
    yield driver
    driver.shutdown()


@pytest.mark.parametrize("on", ORDERS, ids="-".join)
@pytest.mark.parametrize("off", ORDERS, ids="-".join)
def test_every_order(
    telemetry: Telemetry,
    stub: StubAgent,
    driver: Driver,
    partner: tuple[str, Any],
    on: tuple[str, ...],
    off: tuple[str, ...],
) -> None:
    name, theirs = partner
    library = "aiohttp" if driver.name.endswith("aio") else "requests"
    who = {"ours": ConsulInstrumentor(), "theirs": theirs}
    running: set[str] = set()

    def look() -> None:
        """A call gives a span of ours, and theirs inside it, of those that are on."""
        telemetry.clear()
        client = driver.make(stub.port)  # theirs of aiohttp sees sessions that were made after it
        assert driver.call(client, "kv.get", "a")[1] is None
        found = {str(span.instrumentation_scope and span.instrumentation_scope.name) for span in telemetry.all_spans}
        expected = {"otel_consul"} if "ours" in running else set()
        if "theirs" in running and (library, name) in SEES:
            expected.add(f"opentelemetry.instrumentation.{name}")
        assert found == expected
        assert len(telemetry.spans) == len(running & {"ours"})
        ours = [span.context.span_id for span in telemetry.spans if span.context]
        if ours:
            parents = {span.parent.span_id for span in telemetry.all_spans if span.parent}
            assert parents <= {*ours}

    look()
    for one in on:
        who[one].instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
        running.add(one)
        look()
    for one in off:
        who[one].uninstrument()
        running.remove(one)
        look()


def test_all_at_once(telemetry: Telemetry, stub: StubAgent, driver: Driver) -> None:
    on = []
    for name, instrumentor in PARTNERS.items():
        try:
            module = importlib.import_module(f"opentelemetry.instrumentation.{name}")
        except ImportError:
            continue
        on.append(getattr(module, instrumentor)())
    middle = len(on) // 2
    on.insert(middle, ConsulInstrumentor())
    client = driver.make(stub.port)
    for _ in range(3):
        for one in on:
            one.instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
        telemetry.clear()
        driver.many(client, 20, 4, "kv.get", "a")
        assert len(telemetry.spans) == 20
        for one in on:
            one.uninstrument()
        telemetry.clear()
        driver.call(client, "kv.get", "a")
        assert telemetry.all_spans == []
        on.append(on.pop(0))
