"""On and off: what is patched, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_consul import ConsulInstrumentor, semconv
from otel_consul.metrics import definitions
from testbed.stub_agent import StubAgent
from tests.support.telemetry import Telemetry

consul = pytest.importorskip("consul")
base = importlib.import_module("consul.base")


@pytest.fixture
def kv(stub: StubAgent) -> StubAgent:
    stub.put("a", "1")
    return stub


def test_stranger_on_the_class_survives(kv: StubAgent, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry.instrument()
    ours = vars(base.Consul)["http"]

    class Stranger:
        def __get__(self, instance: Any, owner: Any = None) -> Any:
            return ours.__get__(instance, owner)

        def __set__(self, instance: Any, value: Any) -> None:
            ours.__set__(instance, value)

    stranger = Stranger()
    base.Consul.http = stranger
    try:
        client = consul.Consul(port=kv.port)
        client.kv.get("a")
        telemetry.uninstrument()
        assert vars(base.Consul)["http"] is stranger
        assert client.kv.get("a")[1]["Value"] == b"1"
        assert len(telemetry.spans) == 1
    finally:
        del base.Consul.http


def test_class_with_an_attribute_of_its_own_is_left_alone(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = object()
    monkeypatch.setattr(base.Consul, "http", marker, raising=False)

    with caplog.at_level(logging.WARNING, "otel_consul"):
        telemetry.instrument()
        telemetry.uninstrument()

    assert vars(base.Consul)["http"] is marker
    assert len([record for record in caplog.records if "shape" in record.getMessage()]) == 1


def test_off_without_on_is_harmless() -> None:
    ConsulInstrumentor().uninstrument()
    assert not ConsulInstrumentor().is_instrumented_by_opentelemetry


def test_excluded_operations_leave_nothing(kv: StubAgent, telemetry: Telemetry) -> None:
    telemetry.instrument(excluded_operations="status.*,kv.put")
    client = consul.Consul(port=kv.port)

    client.status.leader()
    client.kv.put("a", "2")
    client.kv.get("a")

    assert [span.name for span in telemetry.spans] == ["kv.get"]
    for metric in definitions.METRICS:
        assert {point.get(semconv.OPERATION) for point, _ in telemetry.points(metric.name)} <= {"kv.get", None}


def test_suppression_is_for_its_block_only(kv: StubAgent, instrumented: Telemetry) -> None:
    client = consul.Consul(port=kv.port)
    with suppress_instrumentation():
        client.kv.get("a")
    assert instrumented.spans == []
    client.kv.get("a")
    assert len(instrumented.spans) == 1


def test_loop_that_ends_leaves_abandoned_calls(kv: StubAgent, instrumented: Telemetry) -> None:
    """`asyncio.run` cancels what is left; nobody asked for that, and nobody waits for it."""
    aio = pytest.importorskip("consul.aio", exc_type=ImportError)
    hang = kv.fault("/v1/kv/*", stop="hang")

    async def main() -> None:
        client = aio.Consul(port=kv.port)
        client.task = asyncio.ensure_future(client.kv.get("a"))
        while not hang.hits:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    asyncio.run(main())

    attributes = dict(instrumented.span.attributes or {})
    assert attributes[semconv.OUTCOME] == semconv.Outcome.ABANDONED
    assert not instrumented.span.status.is_unset
    assert [event.name for event in instrumented.span.events] == [semconv.EVENT_ABANDONED]
    assert instrumented.total(definitions.ACTIVE.name) == 0
    assert instrumented.total(definitions.DURATION.name, **{semconv.OUTCOME: "abandoned"}) == 1
    kv.heal()
