"""Blocking queries that hang: how long they may be held on purpose, and what is told of them beyond that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import consul
import pytest

from otel_consul import open_calls, semconv
from otel_consul.metrics import definitions
from testbed.stub_agent import StubAgent
from tests.support.stalls import Logs, eventually
from tests.support.telemetry import Telemetry

LONGEST_HOLD = 0.1 * 17 / 16


@pytest.mark.parametrize(("asked", "exported"), [("1h", 3600.0), ("90s", 90.0), (None, 300.0)])
def test_the_wait_asked_for_is_exported_whatever_consul_makes_of_it(
    asked: str | None, exported: float, instrumented: Telemetry, stub: StubAgent
) -> None:
    stub.fault("/v1/kv/*", status=200, body=b"[]", headers={"X-Consul-Index": "7"})
    consul.Consul(port=stub.port).kv.get("a", index=5, wait=asked)
    assert dict(instrumented.span.attributes or {})[semconv.WAIT] == exported


def test_no_query_is_stalled_that_consul_may_hold(instrumented: Telemetry) -> None:
    from otel_consul.consul_api.request import Query, hold

    assert hold(Query(wait=3600.0)) == (600.0, 637.5)


def test_abandoned_beyond_the_longest_hold_is_late(
    instrumented: Telemetry, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.kv.get("late", index=5, wait="100ms"))
    in_thread(lambda: client.kv.get("held", index=5, wait="60s"))
    in_thread(lambda: client.kv.get("read"))
    eventually(lambda: len(open_calls()) == 3)
    time.sleep(0.5)
    instrumented.uninstrument()
    spans = {dict(span.attributes or {})[semconv.KV_KEY]: span for span in instrumented.spans}
    late = {key: dict(span.attributes or {}).get(semconv.LATE) for key, span in spans.items()}
    elapsed = (spans["late"].end_time - spans["late"].start_time) / 1e9  # type: ignore[operator]
    assert late == {"late": pytest.approx(elapsed - LONGEST_HOLD, abs=0.001), "held": None, "read": None}


def test_late_time_is_counted_for_one_abandoned(
    instrumented: Telemetry, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.kv.get("late", index=5, wait="100ms"))
    eventually(open_calls)
    time.sleep(0.3)
    from otel_consul import ConsulInstrumentor

    (call,) = ConsulInstrumentor()._recorder.shared.registry
    call.abandon()
    assert instrumented.total(definitions.LATE_TIME.name) == pytest.approx(0.3 - LONGEST_HOLD, abs=0.15)


def test_a_stalled_one_says_that_it_is_a_blocking_query(
    telemetry: Telemetry, logs: Logs, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    telemetry.instrument(logger_provider=logs.provider, stall_threshold=0.05)
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.kv.get("hang", index=5, wait="100ms"))
    in_thread(client.catalog.nodes)
    record = eventually(lambda: logs.stalled)[0]
    (span,) = eventually(lambda: [span for span in telemetry.all_spans if span.name == "kv.get stalled"][:1])
    for attributes in (dict(record.attributes), dict(span.attributes or {})):
        assert (attributes[semconv.BLOCKING], attributes[semconv.WAIT]) == (True, 0.1)
