"""Blocking queries on a real Consul: what ended them, and what of their time was delay."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from otel_consul import semconv
from otel_consul.metrics import definitions
from otel_consul.semconv import Outcome, Wakeup
from testbed.consul import ConsulAgent
from testbed.stub_agent import StubAgent
from tests.support.telemetry import Telemetry

consul = pytest.importorskip("consul")
pytestmark = pytest.mark.integration


@pytest.fixture
def client(consul_agent: ConsulAgent, instrumented: Telemetry) -> Any:
    return consul.Consul(port=consul_agent.port)


def during(call: Callable[[], Any], change: Callable[[], Any], telemetry: Telemetry) -> Any:
    """Run the call in a thread; make the change once it is open."""
    given: list[Any] = []
    thread = threading.Thread(target=lambda: given.append(call()))
    thread.start()
    pause = threading.Event()
    while not telemetry.total(definitions.ACTIVE.name, **{semconv.BLOCKING: True}):
        pause.wait(0.01)
    pause.wait(0.15)  # it is on its way to Consul; there is no sign of its arrival
    change()
    thread.join(20)
    return given[0]


def attributes_of_blocking(telemetry: Telemetry) -> dict[str, Any]:
    (span,) = [span for span in telemetry.spans if semconv.BLOCKING in (span.attributes or {})]
    return dict(span.attributes or {})


def test_changed(client: Any, consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    client.kv.put("block/changed", "1")
    index, _ = client.kv.get("block/changed")

    during(
        lambda: client.kv.get("block/changed", index=index, wait="10s"),
        lambda: consul_agent.call("PUT", "/v1/kv/block/changed", b"2"),
        instrumented,
    )

    seen = attributes_of_blocking(instrumented)
    assert seen[semconv.WAKEUP] == Wakeup.CHANGED
    assert seen[semconv.WAIT] == 10.0
    assert seen[semconv.RESPONSE_INDEX] > int(index)
    assert semconv.LATE not in seen
    assert seen[semconv.OUTCOME] == Outcome.OK


@pytest.mark.parametrize("key", ["block/expired", "block/never-there"])
def test_expired(key: str, client: Any, consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    consul_agent.call("PUT", "/v1/kv/block/expired", b"1")
    index, _ = client.kv.get(key)

    client.kv.get(key, index=index, wait="400ms")

    seen = attributes_of_blocking(instrumented)
    assert seen[semconv.WAKEUP] == Wakeup.EXPIRED
    assert seen[semconv.WAIT] == pytest.approx(0.4)
    assert seen[semconv.OUTCOME] == (Outcome.OK if key == "block/expired" else Outcome.NOT_FOUND)
    assert semconv.LATE not in seen
    points = instrumented.points(definitions.DURATION.name)
    assert sorted(point[semconv.BLOCKING] for point, _ in points) == [False, True]


def test_index_far_ahead_is_a_reset(client: Any, instrumented: Telemetry) -> None:
    client.kv.put("block/reset", "1")

    client.kv.get("block/reset", index=1_000_000_000, wait="200ms")

    seen = attributes_of_blocking(instrumented)
    assert seen[semconv.WAKEUP] == Wakeup.RESET
    assert seen[semconv.RESPONSE_INDEX] < 1_000_000_000


def test_index_zero_does_not_block(client: Any, instrumented: Telemetry) -> None:
    client.kv.get("block/zero", index="0", wait="10s")

    assert semconv.BLOCKING not in (instrumented.span.attributes or {})
    assert semconv.WAIT not in (instrumented.span.attributes or {})


def test_endpoint_that_does_not_block_is_a_plain_call(client: Any, instrumented: Telemetry) -> None:
    client.http.get(lambda response: response.code, "/v1/agent/services", [("index", 5), ("wait", "10s")])

    assert semconv.BLOCKING not in (instrumented.span.attributes or {})


def test_hash_blocks_on_the_definition_of_a_service(
    client: Any, consul_agent: ConsulAgent, instrumented: Telemetry
) -> None:
    client.agent.service.register("hashed", service_id="hashed", port=1)

    def read(**params: str) -> Any:
        return client.http.get(
            lambda response: response.headers["X-Consul-ContentHash"], "/v1/agent/service/hashed", list(params.items())
        )

    first = read()
    assert semconv.BLOCKING not in (instrumented.spans[-1].attributes or {})
    instrumented.clear()
    assert read(hash=first, wait="300ms") == first
    expired = attributes_of_blocking(instrumented)
    instrumented.clear()
    second = during(
        lambda: read(hash=first, wait="10s"),
        lambda: client.agent.service.register("hashed", service_id="hashed", port=2),
        instrumented,
    )

    changed = attributes_of_blocking(instrumented)
    assert second != first
    assert (expired[semconv.WAKEUP], changed[semconv.WAKEUP]) == (Wakeup.EXPIRED, Wakeup.CHANGED)
    assert (expired[semconv.WAIT], changed[semconv.WAIT]) == (pytest.approx(0.3), 10.0)
    assert first not in instrumented.text()


def test_event_list_index_is_a_hash(client: Any, instrumented: Telemetry) -> None:
    client.event.fire("block")
    index, _ = client.event.list(name="block")
    instrumented.clear()

    during(
        lambda: client.event.list(name="block", index=index, wait="10s"),
        lambda: client.event.fire("block"),
        instrumented,
    )

    seen = attributes_of_blocking(instrumented)
    assert seen[semconv.WAKEUP] == Wakeup.CHANGED  # whichever of the two hashes is the greater
    assert seen.get(semconv.RESPONSE_INDEX, 0) < 1 << 63


def test_woken_by_something_else(client: Any, consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    """Consul promises no change. Only its memory of what changed decides; the stub wakes nobody in vain, so a fault does."""
    with StubAgent() as stub:
        stub.put("block/woken", "1")
        waker = consul.Consul(port=stub.port)
        index, _ = waker.kv.get("block/woken")
        instrumented.clear()
        stub.fault("/v1/kv/*", headers={"X-Consul-Index": index}, body=b"[]", status=200)

        waker.kv.get("block/woken", index=index, wait="10s")

    assert attributes_of_blocking(instrumented)[semconv.WAKEUP] == Wakeup.WOKEN_UNCHANGED


@pytest.mark.parametrize("spans", ["all", "errors", "none"])
def test_blocking_spans_can_be_left_out(spans: str, consul_agent: ConsulAgent, telemetry: Telemetry) -> None:
    telemetry.instrument(blocking_spans=spans)
    client = consul.Consul(port=consul_agent.port)

    client.kv.get("block/spans", index=1, wait="100ms")
    with pytest.raises(Exception, match="No path to datacenter"):
        client.kv.get("block/spans", index=1, wait="100ms", dc="nowhere")
    client.kv.get("block/spans")

    outcomes = {
        "all": [Outcome.NOT_FOUND, Outcome.ERROR, Outcome.NOT_FOUND],
        "errors": [Outcome.ERROR, Outcome.NOT_FOUND],
        "none": [Outcome.NOT_FOUND],
    }
    assert [(span.attributes or {})[semconv.OUTCOME] for span in telemetry.spans] == outcomes[spans]
    assert telemetry.total(definitions.DURATION.name, **{semconv.BLOCKING: True}) == 2
    assert telemetry.total(definitions.DURATION.name, **{semconv.BLOCKING: False}) == 1
    for span in telemetry.spans:
        assert (span.end_time or 0) - (span.start_time or 0) > 0


def test_watch_cancelled_by_its_task(consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    aio = pytest.importorskip("consul.aio", exc_type=ImportError)

    async def watch() -> None:
        client = aio.Consul(port=consul_agent.port)
        index, _ = await client.catalog.nodes()
        task = asyncio.ensure_future(client.catalog.nodes(index=index, wait="60s"))
        while not instrumented.total(definitions.ACTIVE.name, **{semconv.BLOCKING: True}):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        await client.http._session.close()

    asyncio.run(watch())

    seen = attributes_of_blocking(instrumented)
    assert seen[semconv.OUTCOME] == Outcome.CANCELLED
    assert semconv.WAKEUP not in seen
    assert instrumented.total(definitions.DURATION.name, **{semconv.OUTCOME: Outcome.CANCELLED}) == 1
    assert instrumented.total(definitions.ACTIVE.name) == 0
