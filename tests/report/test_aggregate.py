from __future__ import annotations

import random
from itertools import cycle

import pytest

from otel_consul import semconv
from otel_consul.report import Aggregate
from otel_consul.report import aggregate as rooms
from otel_consul.report.latency import BUCKETS
from tests.report.spans import attributes, blocking, calls, stalled, timeouts


def test_spans_of_others_are_ignored() -> None:
    aggregate = Aggregate()
    aggregate.add({"http.request.method": "GET"}, 1.0)
    aggregate.add({semconv.OPERATION: 7}, 1.0)
    assert not aggregate.operations
    assert aggregate.calls == 0


def test_operations_come_in_the_order_of_the_time_they_took() -> None:
    aggregate = Aggregate()
    calls(aggregate, 100, "kv.get", 0.001)
    calls(aggregate, 1, "kv.put", 2.0)
    assert [operation.name for operation in aggregate.operations] == ["kv.put", "kv.get"]


def test_blocking_queries_never_touch_the_latency_of_the_same_operation() -> None:
    aggregate = Aggregate()
    calls(aggregate, 100, "kv.get", 0.001)
    blocking(aggregate, 100, 300.0, late=1.5)
    (plain,), (held,) = aggregate.operations, aggregate.blocking
    assert plain.latency.count == 100
    assert plain.latency.quantile(1.0) < 0.0011
    assert held.wakeups["expired"] == 100
    assert (held.late, held.lateness.seconds) == (100, 150.0)


def test_outcomes_errors_and_timeouts_are_counted() -> None:
    aggregate = Aggregate()
    calls(aggregate, 3, "kv.get", 0.1, deadline="none")
    calls(aggregate, 2, "kv.get", 0.1, outcome="not_found")
    timeouts(aggregate, 4, "kv.get", 5.0, "pool")
    about = attributes("kv.get", 0.1, outcome="error") | {semconv.ERROR_TYPE: "requests.exceptions.ConnectionError"}
    aggregate.add(about, 0.1)
    (operation,) = aggregate.operations
    assert operation.outcomes == {"ok": 3, "not_found": 2, "timeout": 4, "error": 1}
    assert operation.timeouts == {"pool": 4}
    assert operation.errors == {"ConnectionError": 1}
    assert operation.no_deadline == 3


def test_a_stalled_call_hangs_until_its_own_span_comes() -> None:
    aggregate = Aggregate()
    for elapsed in (5.0, 10.0, 20.0):
        stalled(aggregate, "aa", "kv.get", elapsed)
    stalled(aggregate, "bb", "kv.get", 5.0, deadline="per_read")
    (operation,) = aggregate.operations
    assert operation.never_returned == 2
    assert operation.never_returned_without_deadline == 1
    assert operation.longest_hang == 20.0
    assert operation.sites == {"fetch (shop.py:42)": 2}
    assert operation.latency.count == 0

    aggregate.add(attributes("kv.get", 21.0), 21.0, span_id="aa")
    assert operation.never_returned == 1
    assert operation.longest_hang == 5.0


def test_a_stalled_blocking_query_is_one_of_its_kind_and_leaves_no_row_of_another() -> None:
    aggregate = Aggregate()
    stalled(aggregate, "aa", "kv.get", 10.0, blocking=True)
    stalled(aggregate, "bb", "kv.put", 10.0)
    (held,) = aggregate.blocking
    assert [operation.name for operation in aggregate.operations] == ["kv.put"]
    assert held.never_returned == 1
    aggregate.add(attributes("kv.put", 11.0) | {semconv.BLOCKING: True}, 11.0, span_id="bb")
    assert not aggregate.operations  # nothing of it is left: the call turned out to be another's
    assert len(aggregate.blocking) == 2


def test_calls_in_flight_when_the_program_ends_have_not_hung() -> None:
    aggregate = Aggregate()
    calls(aggregate, 5, "kv.get", 0.01, outcome="abandoned", deadline="none")
    calls(aggregate, 3, "kv.get", 12.0, outcome="abandoned", deadline="none")
    (operation,) = aggregate.operations
    assert operation.never_returned == operation.never_returned_without_deadline == 3


def test_what_a_blocking_query_was_late_by_is_told_by_phase_and_local_delay() -> None:
    aggregate = Aggregate()
    # held for up to 1.0625 s: what it waited for beyond that, and for anything but Consul, is the lateness
    blocking(aggregate, 10, 4.0625, late=3.0, wait=1.0, event_loop=0.5)
    blocking(aggregate, 10, 2.0625, late=1.0, pool=1.0)
    (held,) = aggregate.blocking
    phases, local = held.lateness.makeup().phases, held.lateness.makeup().local
    assert phases["wait"] == pytest.approx(0.75)
    assert phases["pool"] == pytest.approx(0.25)
    assert local["event_loop"] == pytest.approx(0.5 * 4.0625 / 4.0)


def test_no_more_local_delay_than_lateness_makes_a_blocking_query_late() -> None:
    aggregate = Aggregate()
    blocking(aggregate, 1, 300.0, late=2.0, wait=1.0, event_loop=0.2)
    assert aggregate.blocking[0].lateness.makeup().local["event_loop"] == 1.0


def test_a_blocking_query_hangs_only_beyond_the_hold() -> None:
    aggregate = Aggregate()
    blocking(aggregate, 4, 310.0, outcome="abandoned")
    (held,) = aggregate.blocking
    assert held.never_returned == 0
    blocking(aggregate, 2, 320.0, outcome="abandoned")
    assert held.never_returned == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "1", None, [1.0], True])
def test_whatever_a_hook_wrote_is_survived(value: object) -> None:
    aggregate = Aggregate()
    about = attributes("kv.get", 1.0) | {"consul.phase.wait": value, "http.request.resend_count": value}
    aggregate.add(about | {semconv.OUTCOME: value}, 1.0)
    (operation,) = aggregate.operations
    assert abs(sum(operation.latency.tail().phases.values()) - 1) < 1e-9


def test_memory_is_constant_over_any_number_of_spans() -> None:
    aggregate, dice = Aggregate(), random.Random(1)
    names = cycle([f"operation.{number}" for number in range(200)])
    for number in range(300_000):
        seconds = dice.lognormvariate(-5, 3)
        about = attributes(next(names), seconds, outcome="error", wait=dice.random())
        about[semconv.ERROR_TYPE] = f"Error{number}"
        about |= {semconv.BLOCKING: number % 3 == 0, semconv.WAKEUP: f"hook{number}", semconv.LATE: seconds}
        about[semconv.SERVER_ADDRESS] = f"10.0.{number}"
        aggregate.add(about, seconds, span_id=f"{number:x}")
        if number % 10 == 0:
            stalled(aggregate, f"never seen again {number}", "kv.get", 5.0)
    assert aggregate.calls == 300_000
    assert len(aggregate.operations + aggregate.blocking) <= rooms.MAX_OPERATIONS + 2
    assert len(aggregate._hanging) == rooms.MAX_HANGING
    for operation in aggregate.operations + aggregate.blocking:
        assert operation.latency.buckets <= BUCKETS
        assert operation.lateness.buckets <= BUCKETS
        assert len(operation.wakeups) <= rooms.MAX_KINDS + 1
        assert len(operation.errors) <= rooms.MAX_KINDS + 1
        assert len(operation.sites) <= rooms.MAX_KINDS + 1
        assert len(operation.hanging) <= rooms.MAX_HANGING
