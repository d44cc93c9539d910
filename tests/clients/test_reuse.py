"""Clients that are made anew for each call: counted, and told of once for each place."""

from __future__ import annotations

import gc
import logging
import os
from typing import Any

import pytest

from testbed.stub_agent import StubAgent
from tests.clients.drivers import Driver
from tests.support.telemetry import Telemetry

ALIVE, CREATED = "consul.client.instances", "consul.client.instances.created"
WORDS = "is called by a new client each time"


@pytest.fixture
def std(driver: Driver) -> Driver:
    if driver.style != "sync":
        pytest.skip("one style is enough")
    return driver


def counts(telemetry: Telemetry, stub: StubAgent) -> tuple[Any, Any]:
    gc.collect()
    server = {"server.address": "127.0.0.1", "server.port": stub.port}
    return telemetry.total(ALIVE, **server), telemetry.total(CREATED, **server)


def test_they_are_counted(std: Driver, stub: StubAgent, instrumented: Telemetry) -> None:
    first, second = std.make(stub.port), std.make(stub.port)
    assert instrumented.points(CREATED) == []
    for _ in range(3):
        std.call(first, "kv.get", "a")
    std.call(second, "kv.get", "a")
    assert counts(instrumented, stub) == (2, 2)
    del first
    assert counts(instrumented, stub) == (1, 2)
    del second
    assert counts(instrumented, stub) == (0, 2)


def test_who_makes_one_for_each_call_is_told_once(
    std: Driver, stub: StubAgent, instrumented: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "otel_consul")
    for _ in range(50):
        std.call(std.make(stub.port), "kv.get", "a")
    told = [record.getMessage() for record in caplog.records if WORDS in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("kv.get at ")
    assert "Make one client and keep it" in told[0]
    assert counts(instrumented, stub)[1] == 50


def test_who_keeps_them_is_told_nothing(
    std: Driver, stub: StubAgent, instrumented: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "otel_consul")
    for _ in range(25):
        client = std.make(stub.port)
        for _ in range(4):
            std.call(client, "kv.get", "a")
    assert not [record for record in caplog.records if WORDS in record.getMessage()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_has_them_and_has_made_none(std: Driver, stub: StubAgent, instrumented: Telemetry) -> None:
    client = std.make(stub.port)
    std.call(client, "kv.get", "a")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, repr(counts(instrumented, stub)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"(1.0, 0.0)"
