from __future__ import annotations

import pytest

from otel_consul.report import Aggregate, Cause, Verdict, judge, worst
from otel_consul.semconv import PHASES
from tests.report.spans import calls, stalled, timeouts


def verdict(seconds: float, **about: float) -> Verdict:
    """On calls that are fast but for 2 % of them."""
    aggregate = Aggregate()
    calls(aggregate, 980, "kv.get", 0.002, wait=0.9)
    calls(aggregate, 20, "kv.get", seconds, **about)
    return judge(aggregate.operations[0])


def test_the_sentence_names_what_dominated_the_slowest_calls() -> None:
    found = verdict(2.1, pool=0.92, wait=0.08)
    assert str(found) == "kv.get: 1.93 s of 2.10 s at P99 was waiting for a free connection."
    assert found.seconds == pytest.approx(1.93, rel=0.03)


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_is_named(phase: str) -> None:
    found = verdict(1.0, **{phase: 1.0})
    assert found.cause == phase
    assert found.sentence.startswith("1.00 s of 1.00 s at P99 was ")


def test_wait_is_not_blamed_on_consul_alone() -> None:
    found = verdict(1.0, wait=1.0)
    assert "waiting for Consul or the network" in found.sentence
    assert "cannot tell" in found.next_step


@pytest.mark.parametrize("cause", ["event_loop", "gc", "gil"])
def test_local_delay_that_explains_most_of_the_tail_is_blamed_and_wait_is_not(cause: str) -> None:
    found = verdict(0.5, wait=0.98, **{cause: 0.9})
    assert found.cause == cause
    assert found.sentence.startswith("450 ms of 500 ms at P99 was lost in this process: ")
    assert "Consul" not in found.sentence


def test_what_local_delay_leaves_is_named_too() -> None:
    found = verdict(1.0, wait=1.0, event_loop=0.6)
    assert found.cause == "event_loop"
    assert "; 400 ms was waiting for Consul" in found.sentence


def test_a_smaller_local_delay_is_named_second() -> None:
    found = verdict(1.0, wait=1.0, event_loop=0.3)
    assert found.cause == "wait"
    assert "; of it up to 300 ms was lost in this process: its event loop" in found.sentence


def test_decoding_blocks_the_loop_and_is_called_decoding() -> None:
    assert verdict(1.0, decode=0.9, wait=0.1, event_loop=0.9).cause == "decode"
    assert verdict(1.0, decode=0.9, wait=0.1, gil=0.8).cause == "gil"


def test_the_second_phase_is_named_where_two_share_the_blame() -> None:
    found = verdict(2.0, pool=0.55, receive=0.45)
    assert found.cause == "pool"
    assert "; 900 ms was receiving the answer: it trickled in" in found.sentence


def test_fast_calls_blame_nobody() -> None:
    found = verdict(0.05, wait=1.0)
    assert found.cause == Cause.NOTHING
    assert found.well


def test_fast_failures_are_no_good_day() -> None:
    aggregate = Aggregate()
    calls(aggregate, 90, "kv.get", 0.002)
    calls(aggregate, 10, "kv.get", 0.001, outcome="error")
    assert str(judge(aggregate.operations[0])) == "kv.get: 10 of 100 calls failed."


def test_timeouts_say_where_they_struck() -> None:
    aggregate = Aggregate()
    calls(aggregate, 90, "kv.get", 0.002)
    timeouts(aggregate, 10, "kv.get", 5.0, "connect")
    found = judge(aggregate.operations[0])
    assert found.cause == "connect"
    assert found.sentence == "5.00 s of 5.00 s at P99 was opening a connection; 10 time-outs in the phase `connect`."


def test_calls_that_never_returned_come_before_all_else() -> None:
    aggregate = Aggregate()
    calls(aggregate, 90, "kv.get", 9.0, wait=1.0)
    calls(aggregate, 2, "kv.put", 30.0, outcome="abandoned", deadline="none")
    stalled(aggregate, "aa", "kv.put", 40.0)
    found = worst(aggregate.operations)
    assert found is not None
    assert found.cause == Cause.NO_DEADLINE
    assert str(found) == (
        "kv.put: 3 calls never returned (waited up to 40.0 s); nothing would have stopped them (no deadline); "
        "called in fetch (shop.py:42)."
    )


def test_a_hang_that_a_deadline_would_have_ended_is_another_matter() -> None:
    aggregate = Aggregate()
    calls(aggregate, 1, "kv.put", 8.0, outcome="abandoned", deadline="total")
    found = judge(aggregate.operations[0])
    assert found.cause == Cause.NEVER_RETURNED
    assert "nothing would have stopped" not in found.sentence


def test_without_calls_there_is_no_verdict() -> None:
    assert worst([]) is None
