"""However many keys, clients, servers, places and kinds of failure a program has, what the plugin remembers is bounded."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_consul import ConsulInstrumentor
from otel_consul.local_delay import scheduler
from otel_consul.stacks import call_site
from tests.clients.drivers import plain_object_client
from tests.support.telemetry import Telemetry

base = pytest.importorskip("consul.base")
SCALE = int(os.environ.get("GROWTH_SCALE", "1"))
"""`make soak` runs ten times as much."""
DURATION = "consul.client.operation.duration"
MOST = 4096 + 1
"""Types of calls, and those of any other server."""


class InMemory:
    """A transport that answers by itself, as quick as can be."""

    def __init__(self, base_uri: str, raises: type[Exception] | None = None) -> None:
        self.base_uri = base_uri
        self.raises = raises
        fields = {"code": 404, "headers": {"X-Consul-Index": "1"}, "body": "", "content": b""}
        self.response = base.Response(*(fields[name] for name in base.Response._fields))

    def get(self, callback: Any, path: Any, params: Any = None, **_: Any) -> Any:
        if self.raises is not None:
            raise self.raises
        return callback(self.response)


def client(base_uri: str = "http://consul:8500", raises: type[Exception] | None = None) -> Any:
    return plain_object_client(lambda *_, **__: InMemory(base_uri, raises))


@pytest.fixture
def telemetry(telemetry: Telemetry) -> Iterator[Telemetry]:
    telemetry.instrument()
    before = threads(), descriptors()
    client().kv.get("first")
    yield telemetry
    recorder = ConsulInstrumentor()._recorder
    assert recorder is not None
    assert recorder.shared.registry.snapshot() == []
    assert threads() - before[0] <= {"otel-consul"}
    assert descriptors() <= before[1]


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def descriptors() -> int:
    scheduler.close()  # a few files are open while the machine starves, and none otherwise
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def tables() -> dict[str, int]:
    """How many entries each table has that a call may add to."""
    recorder = ConsulInstrumentor()._recorder
    assert recorder is not None
    types, totals = recorder._types, recorder.shared.totals
    totals.fold(wait=True)
    gc.collect()
    return {
        "types": len(types._types),
        "plain": len(types.plain),
        "limits": max(len(one.limited) for one in types._types.values()),
        "outcomes": max(len(one._duration_attributes) for one in types._types.values()),
        "series": len(totals._series),
        "started": len(totals._started),
        "journals": len(totals.begun) + len(totals.finished),
        "transports": len(recorder._by_class),
        "clients": sum(len(seam._kept) for seam in ConsulInstrumentor()._seams),
        "modules": len(call_site._known),
    }


def test_keys(telemetry: Telemetry) -> None:
    before, one = tables(), client()
    for number in range(2_000 * SCALE):
        one.kv.get(f"key/{number}", wait=f"{number}s", index=number, dc=f"dc{number}")
    del one
    after = tables()
    assert after == {**before, "types": 2, "series": 2, "started": 2, "modules": after["modules"]}
    assert len(telemetry.points(DURATION)) == 2


def test_clients_made_and_dropped(telemetry: Telemetry) -> None:
    before = tables()
    for _ in range(1_000 * SCALE):
        client().kv.get("key")
    assert tables() == before


def test_servers(telemetry: Telemetry) -> None:
    """The first 4,096 are told apart; calls to any more are added up under no address."""
    for number in range(4_500):
        client(f"http://10.0.{number // 256}.{number % 256}:8500").kv.get("key")
    after = tables()
    assert (after["types"], after["series"]) == (MOST, MOST)
    points = telemetry.points(DURATION)
    assert len(points) == MOST
    assert sum(count for _, count in points) == 4_501
    assert [count for attributes, count in points if "server.address" not in attributes] == [4_501 - 4_096]
    assert len(telemetry.points("consul.client.operations")) == 1


def test_call_sites_and_modules(telemetry: Telemetry) -> None:
    one = client()
    for number in range(1_500 * SCALE):
        exec("one.kv.get('key')", {"one": one, "__name__": f"made_on_the_fly_{number}"})
    assert tables()["modules"] <= 1_000


def test_kinds_of_failure(telemetry: Telemetry) -> None:
    for number in range(500 * SCALE):
        with pytest.raises(RuntimeError):
            client(raises=type(f"Error{number}", (RuntimeError,), {})).kv.get("key")
    assert tables()["outcomes"] <= 100
    assert len(telemetry.points(DURATION)) <= 100
    assert telemetry.total(DURATION) == 500 * SCALE + 1
    assert telemetry.total(DURATION, **{"error.type": "_OTHER"}) > 400


def test_classes_of_transports(telemetry: Telemetry) -> None:
    before = tables()
    for number in range(300 * SCALE):
        made = type(f"Transport{number}", (InMemory,), {})("http://consul:8500")
        plain_object_client(lambda *_, made=made, **__: made).kv.get("key")
        del made
    gc.collect()
    assert tables()["transports"] <= before["transports"] + 1


def test_threads_that_call_once(telemetry: Telemetry) -> None:
    before, one = tables(), client()
    for _ in range(500 * SCALE):
        thread = threading.Thread(target=one.kv.get, args=("key",))
        thread.start()
        thread.join()
    del one, thread
    assert {**tables(), "modules": before["modules"]} == before
