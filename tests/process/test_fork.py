"""`fork()`: a child starts from nothing, is warned of the client it inherited, and the parent notices nothing."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_consul import semconv
from otel_consul.metrics import definitions
from testbed.stub_agent import StubAgent
from tests.support.telemetry import Telemetry

consul = pytest.importorskip("consul")

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def client(stub: StubAgent) -> Any:
    stub.put("a", "1")
    return consul.Consul(port=stub.port)


@pytest.fixture
def open_call(client: Any, stub: StubAgent, instrumented: Telemetry) -> Iterator[threading.Thread]:
    """A call that hangs in a thread of the parent."""
    hang = stub.fault("/v1/kv/hangs", stop="hang")
    thread = threading.Thread(target=lambda: client.kv.get("hangs"))
    thread.start()
    hang.wait()
    yield thread
    stub.heal()
    thread.join(10)


def seen(telemetry: Telemetry) -> dict[str, Any]:
    """What this process would export."""
    return {
        "spans": [(span.name, dict(span.attributes or {}).get(semconv.CLIENT_FORKED)) for span in telemetry.spans],
        "started": telemetry.total(definitions.OPERATIONS.name),
        "active": telemetry.total(definitions.ACTIVE.name),
        "oldest": telemetry.total(definitions.OLDEST_AGE.name),
        "phases": telemetry.total(definitions.PHASE_TIME.name),
    }


def in_forked(function: Callable[[], Any]) -> Any:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            result = function()
        except BaseException as error:
            result = error
        os.write(write, repr(result).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        text = stream.read().decode()
    os.waitpid(child, 0)
    return eval(text, {"__builtins__": {}})  # our own repr


def in_multiprocessing(function: Callable[[], Any]) -> Any:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(function()))
    child.start()
    result = queue.get()
    child.join(10)
    return result


@pytest.mark.parametrize("fork", [in_forked, in_multiprocessing])
def test_child_starts_from_nothing(
    fork: Any, client: Any, stub: StubAgent, open_call: threading.Thread, instrumented: Telemetry
) -> None:
    client.kv.get("a")
    # what the child inherits of the in-memory exporter is the parent's, of our totals nothing
    before = seen(instrumented)
    assert (before["started"], before["active"]) == (2, 1)

    def child() -> list[Any]:
        instrumented.clear()
        found = [seen(instrumented)]
        client.kv.get("a")
        found.append(seen(instrumented))
        instrumented.clear()
        consul.Consul(port=stub.port).kv.get("a")
        found.append(seen(instrumented))
        return found

    at_first, old_client, new_client = fork(child)

    assert at_first == {"spans": [], "started": 0, "active": 0, "oldest": 0, "phases": 0}
    assert old_client["spans"] == [("kv.get", True)]
    assert (old_client["started"], old_client["active"]) == (1, 0)
    assert old_client["phases"] > 0
    assert new_client["spans"] == [("kv.get", None)]
    assert new_client["started"] == 2

    after = seen(instrumented)
    assert (after["started"], after["active"], after["phases"]) == (2, 1, before["phases"])
    stub.heal()
    open_call.join(10)
    assert sorted(span.attributes[semconv.KV_KEY] for span in instrumented.spans) == ["a", "hangs"]  # type: ignore[index]
    assert seen(instrumented)["active"] == 0
    client.kv.get("a")
    assert {forked for _, forked in seen(instrumented)["spans"]} == {None}


def test_grandchild_is_told_too(client: Any, stub: StubAgent, instrumented: Telemetry) -> None:
    client.kv.get("a")

    def child() -> Any:
        made_here = consul.Consul(port=stub.port)
        made_here.kv.get("a")

        def grandchild() -> Any:
            instrumented.clear()
            made_here.kv.get("a")
            return seen(instrumented)["spans"]

        return in_forked(grandchild)

    assert in_forked(child) == [("kv.get", True)]


def test_client_never_used_before_the_fork(stub: StubAgent, telemetry: Telemetry) -> None:
    """Made before, both of the plugin and of the fork: only its first use could tell."""
    telemetry.instrument()
    made = consul.Consul(port=stub.port)

    def child() -> Any:
        made.status.leader()
        return seen(telemetry)["spans"]

    assert in_forked(child) == [("status.leader", True)]


def test_child_can_switch_off_and_on(client: Any, instrumented: Telemetry) -> None:
    def child() -> Any:
        instrumented.uninstrument()
        client.kv.get("a")
        instrumented.instrument()
        client.kv.get("a")
        found = seen(instrumented)
        return found["spans"], found["started"]

    spans, started = in_forked(child)

    assert (len(spans), started) == (1, 1)
    client.kv.get("a")
    assert len(instrumented.spans) == 1
