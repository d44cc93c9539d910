"""Programs whose tests stop the clock: what a call took is what it took, whenever time was frozen and thawed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

import otel_consul
from testbed.stub_agent import StubAgent
from tests.support.telemetry import Telemetry

consul = pytest.importorskip("consul")
ELAPSED = "consul.elapsed"
Freeze = Callable[[], AbstractContextManager[Any]]
NOBODY_WAITS_AS_LONG = 3600.0


def freezegun() -> AbstractContextManager[Any]:
    return pytest.importorskip("freezegun").freeze_time("2031-05-05")  # type: ignore[no-any-return]


def time_machine() -> AbstractContextManager[Any]:
    return pytest.importorskip("time_machine").travel("2031-05-05", tick=False)  # type: ignore[no-any-return]


@pytest.fixture(params=[freezegun, time_machine], ids=lambda make: make.__name__)
def freeze(request: pytest.FixtureRequest) -> Freeze:
    request.param()  # or the test is skipped
    make: Freeze = request.param
    return make


def all_is_well(telemetry: Telemetry, calls: int) -> None:
    assert [span.name for span in telemetry.spans] == ["kv.get"] * calls
    for span in telemetry.all_spans:
        attributes = dict(span.attributes or {})
        spent = [value for name, value in attributes.items() if name.startswith("consul.phase.")]
        for seconds in [((span.end_time or 0) - (span.start_time or 0)) / 1e9, sum(spent), attributes.get(ELAPSED, 0)]:
            assert 0 <= seconds < NOBODY_WAITS_AS_LONG
    assert 0 < telemetry.total("consul.client.phase.time") < NOBODY_WAITS_AS_LONG


def hold_open(client: Any, stub: StubAgent) -> Callable[[], None]:
    """A call that waits in a thread of its own, open by now; what answers it."""
    fault = stub.fault("/v1/kv/held", stop="hang")
    thread = threading.Thread(target=client.kv.get, args=("held",))
    thread.start()
    fault.wait()

    def end() -> None:
        fault.release()
        thread.join()

    return end


def test_calls_while_time_is_frozen(instrumented: Telemetry, stub: StubAgent, freeze: Freeze) -> None:
    client = consul.Consul(port=stub.port)
    with freeze():
        client.kv.get("a")
        thread = threading.Thread(target=client.kv.get, args=("a",))
        thread.start()
        thread.join()
    client.kv.get("a")
    all_is_well(instrumented, 3)


def is_young() -> None:
    (call,) = otel_consul.open_calls()
    assert 0 <= call.age < NOBODY_WAITS_AS_LONG


@pytest.mark.parametrize("begins", ["frozen", "before"])
@pytest.mark.parametrize("ends", ["frozen", "after"])
def test_a_call_that_stalls(telemetry: Telemetry, stub: StubAgent, freeze: Freeze, begins: str, ends: str) -> None:
    telemetry.instrument(stall_threshold=0.05)
    client = consul.Consul(port=stub.port)
    if begins == "before":
        end = hold_open(client, stub)
    with freeze():
        if begins == "frozen":
            end = hold_open(client, stub)
        is_young()
        while not telemetry.all_spans:  # until it is told of as stalled: no clock to wait by stands still here
            threading.Event().wait(0.01)
        is_young()
        if ends == "frozen":
            end()
    if ends == "after":
        is_young()
        end()
    assert telemetry.all_spans[0].name == "kv.get stalled"
    all_is_well(telemetry, 1)


def test_the_plugin_is_imported_while_time_is_frozen() -> None:
    pytest.importorskip("freezegun")
    code = """
import freezegun, time
with freezegun.freeze_time("2031-05-05"):
    from otel_consul.background import clock
    frozen = time.perf_counter()
    assert clock.perf_counter() != frozen
assert abs(clock.perf_counter() - time.perf_counter()) < 3600
"""
    subprocess.run([sys.executable, "-c", code], check=True)
