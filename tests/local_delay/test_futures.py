"""Calls that give a future and go on in a loop: tornado's is asyncio's, twisted's nobody watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.attribution import disturbances
from testbed.stub_agent import StubAgent
from tests.clients import drivers
from tests.clients.drivers import Driver
from tests.support.lost import blamed, causes
from tests.support.telemetry import Telemetry

BLOCKED = 0.5


def of_style(style: str) -> list[Any]:
    found = [pytest.param(d, id=d.name) for d in drivers.available() if d.style == style]
    return found or [pytest.param(None, marks=pytest.mark.skip(f"no {style} here"), id=style)]


@pytest.fixture
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    driver: Driver = request.param()
    yield driver
    driver.shutdown()


def get_while_the_loop_sleeps(driver: Driver, port: int, at: float) -> None:
    client = driver.make(port)

    def call() -> Any:
        if driver.style == "tornado":
            driver.loop.call_later(at, time.sleep, BLOCKED)  # type: ignore[attr-defined]
        else:
            driver.reactor().callLater(at, time.sleep, BLOCKED)  # type: ignore[attr-defined]
        return client.kv.get("a")

    driver.run(call)


@pytest.mark.parametrize("driver", of_style("tornado"), indirect=True)
def test_an_answer_that_waits_for_tornados_loop(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    stub.fault(delay=0.1)
    get_while_the_loop_sleeps(driver, stub.port, 0.05)
    assert causes(instrumented)["event_loop"] == pytest.approx(BLOCKED - 0.05, abs=0.12)


@pytest.mark.parametrize("driver", of_style("tornado"), indirect=True)
def test_a_loop_free_again_before_the_answer_costs_nothing(
    instrumented: Telemetry, stub: StubAgent, driver: Driver
) -> None:
    stub.fault(delay=2 * BLOCKED)
    get_while_the_loop_sleeps(driver, stub.port, 0.1)
    assert not blamed(instrumented)


@pytest.mark.parametrize("driver", of_style("twisted"), indirect=True)
def test_twisteds_reactor_is_not_watched(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    stub.fault(delay=0.1)
    get_while_the_loop_sleeps(driver, stub.port, 0.05)
    assert not blamed(instrumented)


@pytest.mark.parametrize("driver", of_style("tornado") + of_style("twisted"), indirect=True)
def test_a_gil_held_while_consul_works_costs_nothing(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    client = driver.make(stub.port)
    stub.fault(delay=2 * BLOCKED)
    disturbances._per_second()
    thread = threading.Timer(0.1, disturbances.hold_gil, (0.3,))
    thread.start()
    driver.call(client, "kv.get", "a")
    thread.join()
    assert not blamed(instrumented)


@pytest.mark.parametrize("driver", of_style("tornado") + of_style("twisted"), indirect=True)
def test_the_collectors_pauses_are_known_all_the_same(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    client = driver.make(stub.port)
    stub.fault(delay=BLOCKED)
    junk = [[number] for number in range(2_000_000)]
    thread = threading.Timer(0.1, disturbances.collect)
    thread.start()
    driver.call(client, "kv.get", "a")
    thread.join()
    assert len(junk) == 2_000_000
    assert causes(instrumented).keys() == {"gc"}
