"""A call that hangs is told of while it hangs: a log record and a child span, again at every doubling of its age."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import consul
import consul.aio
import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from otel_consul import open_calls
from otel_consul.in_flight import stall_monitor as monitor
from otel_consul.network import tcp_info
from testbed.stub_agent import StubAgent
from tests.support.stalls import Logs, eventually
from tests.support.telemetry import Telemetry

THRESHOLD = 0.2


def guilty(client: Any) -> Any:
    return client.kv.get("hang")


def stalled_spans(telemetry: Telemetry) -> list[Any]:
    return [span for span in telemetry.all_spans if span.name.endswith(" stalled")]


@pytest.fixture
def watched(telemetry: Telemetry, logs: Logs) -> Telemetry:
    telemetry.instrument(logger_provider=logs.provider, stall_threshold=THRESHOLD)
    return telemetry


def test_record_and_child_span_while_it_hangs(
    watched: Telemetry, logs: Logs, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: guilty(client))
    record = eventually(lambda: logs.stalled)[0]
    span = eventually(lambda: stalled_spans(watched))[0]
    attributes = dict(record.attributes)
    assert dict(span.attributes) == attributes
    elapsed = attributes.pop("consul.elapsed")
    assert THRESHOLD <= elapsed < THRESHOLD + 0.15
    assert attributes.pop("code.line.number") > 0
    assert attributes.pop("code.stacktrace").endswith(" guilty")
    if tcp_info.AVAILABLE:
        assert attributes.pop("consul.network.state") == "acknowledged"
        assert attributes.pop("consul.network.retransmits") == 0
        assert 0 < attributes.pop("consul.network.silent_for") < elapsed + 0.1
    assert attributes == {
        "consul.operation": "kv.get",
        "consul.phase": "wait",
        "consul.deadline": "per_read",
        "server.address": "127.0.0.1",
        "server.port": hanging.port,
        "code.function.name": "guilty",
        "code.file.path": __file__,
    }
    assert (record.severity_number.value, record.severity_text) == (13, "WARN")
    assert "kv.get" in record.body
    assert span.name == "kv.get stalled"
    assert span.kind is SpanKind.INTERNAL
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(elapsed, abs=1e-6)
    assert watched.spans == []  # the call itself has not ended
    assert watched.total("consul.client.stalled_operations") == 1
    hanging.stop()
    call = eventually(lambda: watched.spans)[0]
    assert (record.trace_id, record.span_id) == (call.context.trace_id, call.context.span_id)
    assert (span.parent.span_id, span.start_time) == (call.context.span_id, call.start_time)
    assert watched.total("consul.client.stalled_operations") == 0


def test_again_at_every_doubling_and_never_after_the_end(
    watched: Telemetry, logs: Logs, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: guilty(client))
    eventually(lambda: len(logs.stalled) == 3)
    hanging.stop()
    eventually(lambda: not open_calls())
    time.sleep(THRESHOLD * 5)
    ages = [record.attributes["consul.elapsed"] for record in logs.stalled]
    assert ages == pytest.approx([THRESHOLD, 2 * THRESHOLD, 4 * THRESHOLD], abs=0.1)
    assert len(stalled_spans(watched)) == 3


def test_quick_calls_are_not_told_of(watched: Telemetry, logs: Logs, stub: StubAgent) -> None:
    client = consul.Consul(port=stub.port)
    end = time.monotonic() + 3 * THRESHOLD
    while time.monotonic() < end:
        client.kv.get("a")
    assert logs.stalled == []


def test_a_blocking_query_may_be_held_first(
    watched: Telemetry, logs: Logs, in_thread: Callable[..., Any], stub: StubAgent
) -> None:
    stub.fault("/v1/kv/*", stop="hang")
    client = consul.Consul(port=stub.port)
    in_thread(lambda: client.kv.get("held", index=5, wait="1s"))
    stub.wait_for_requests(1)
    time.sleep(2 * THRESHOLD)
    assert watched.total("consul.client.stalled_operations") == 0
    record = eventually(lambda: logs.stalled)[0]
    assert record.attributes["consul.elapsed"] == pytest.approx(1 + 1 / 16 + THRESHOLD, abs=0.1)
    assert watched.total("consul.client.stalled_operations", **{"consul.blocking": True}) == 1


def test_a_young_call_is_seen_behind_old_ones(
    watched: Telemetry, logs: Logs, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.kv.get("held", index=5, wait="10m"))
    in_thread(client.catalog.nodes)
    hanging.wait_for_requests(1)
    time.sleep(1.5 * THRESHOLD)
    in_thread(lambda: guilty(client))
    record = eventually(lambda: logs.stalled)[0]
    assert record.attributes["consul.elapsed"] == pytest.approx(THRESHOLD, abs=0.1)
    assert record.attributes["code.function.name"] == "guilty"


def test_threshold_zero_is_off(
    telemetry: Telemetry, logs: Logs, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    telemetry.instrument(logger_provider=logs.provider, stall_threshold=0, local_delay=False)
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: guilty(client))
    hanging.wait_for_requests(1)
    time.sleep(0.2)
    assert logs.stalled == []
    assert len(open_calls()) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "otel-consul"]


@pytest.mark.parametrize("how", ["not sampled", "no span of its own"])
def test_without_a_span_there_is_still_the_record(
    how: str, logs: Logs, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    telemetry = Telemetry(sampler=ALWAYS_OFF) if how == "not sampled" else Telemetry()
    telemetry.instrument(logger_provider=logs.provider, stall_threshold=0.05, blocking_spans="none")
    client = consul.Consul(port=hanging.port)
    index = None if how == "not sampled" else 5
    in_thread(lambda: client.kv.get("hang", index=index, wait="1s" if index else None))
    record = eventually(lambda: logs.stalled)[0]
    assert record.attributes["consul.operation"] == "kv.get"
    assert (record.trace_id != 0) == (how == "not sampled")
    assert telemetry.all_spans == []
    hanging.stop()


def test_the_event_loop_is_blocked_for_good(watched: Telemetry, logs: Logs, hanging: StubAgent) -> None:
    def blocks_the_loop() -> None:
        end = time.monotonic() + 3
        while time.monotonic() < end and len(logs.stalled) < 2:
            time.sleep(0.01)

    async def waits(client: Any) -> Any:
        return await client.kv.get("hang")

    async def main() -> None:
        client = consul.aio.Consul(port=hanging.port)
        task = asyncio.create_task(waits(client))
        await asyncio.to_thread(hanging.wait_for_requests, 1)
        blocks_the_loop()
        assert len(logs.stalled) == 2  # while the loop stood still
        task.cancel()
        await asyncio.wait([task])
        await client.http.close()

    asyncio.run(main())
    stack = logs.stalled[0].attributes["code.stacktrace"]
    call, loop = stack.split("Meanwhile the event loop is busy at:")
    assert call.strip().endswith(" waits")
    assert "blocks_the_loop" in loop


class HangingExporter(SpanProcessor):
    """As SimpleSpanProcessor with an exporter that never comes back."""

    def __init__(self) -> None:
        self.stuck = threading.Event()
        self.heal = threading.Event()

    def on_end(self, span: Any) -> None:
        if span.name.endswith(" stalled"):
            self.stuck.set()
            self.heal.wait(20)


def test_an_exporter_that_hangs_delays_no_call(
    telemetry: Telemetry, logs: Logs, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    exporter = HangingExporter()
    telemetry.tracer_provider.add_span_processor(exporter)
    telemetry.instrument(logger_provider=logs.provider, stall_threshold=0.1)
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.kv.get("hang"))
    assert exporter.stuck.wait(5)
    start = time.perf_counter()
    for _ in range(20):
        client.catalog.nodes()
    telemetry.uninstrument()
    assert time.perf_counter() - start < 2
    exporter.heal.set()


def test_very_many_at_once_are_told_of_at_a_bearable_pace(
    telemetry: Telemetry, logs: Logs, monkeypatch: pytest.MonkeyPatch, hanging: StubAgent
) -> None:
    monkeypatch.setattr(monitor, "BURST", 50)
    telemetry.instrument(logger_provider=logs.provider, stall_threshold=0.3)

    async def main() -> None:
        client = consul.aio.Consul(port=hanging.port, connections_limit=10)  # most of them wait for a connection
        tasks = [asyncio.create_task(client.kv.get("hang")) for _ in range(200)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await client.http.close()

    asyncio.run(main())
    assert 50 <= len(logs.stalled) <= 50 + 1.2 * monitor.RATE
    # nobody is told of twice while others have not been told of once
    spans = [record.span_id for record in logs.stalled]
    assert len(set(spans)) == len(spans)
