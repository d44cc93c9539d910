"""The matrix tests what it says it tests."""

from __future__ import annotations

import os

import pytest

from testbed.stub_agent import StubAgent
from tests.clients import drivers
from tests.clients.drivers import Driver


def test_every_driver_this_environment_promises_is_available() -> None:
    promised = [name for name in os.environ.get("OTEL_CONSUL_EXPECT_DRIVERS", "").split(",") if name]
    why_not = {driver.name: driver.why_not() for driver in drivers.every_driver()}

    assert {name: why_not[name] for name in promised} == dict.fromkeys(promised)


def test_some_driver_is_available() -> None:
    if not drivers.available():
        pytest.fail("no Consul client is installed: nothing was tested")


def test_driver_calls_an_agent_without_the_plugin(driver: Driver, stub: StubAgent) -> None:
    client = driver.make(stub.port)

    assert driver.call(client, "status.leader")
    assert driver.call(client, "catalog.nodes")
    assert [r.path for r in stub.requests] == ["/v1/status/leader", "/v1/catalog/nodes"]
