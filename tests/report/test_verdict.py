from __future__ import annotations

from typing import Any

import pytest

from otel_consul import semconv
from otel_consul.report import Aggregate, Cause, Verdict, judge, worst
from otel_consul.report.wording import LOCAL_WORDS
from otel_consul.semconv import LOCAL_DELAYS, PHASES
from tests.report.spans import attributes, blocking, calls, stalled, timeouts


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
    assert "nothing here tells" in found.next_step


@pytest.mark.parametrize("cause", ["event_loop", "gc", "gil", "cpu", "throttled"])
def test_local_delay_that_explains_most_of_the_tail_is_blamed_and_wait_is_not(cause: str) -> None:
    found = verdict(0.5, wait=0.98, **{cause: 0.9})
    assert found.cause == cause
    assert found.sentence.startswith(f"450 ms of 500 ms at P99 was {LOCAL_WORDS[cause]}")
    assert LOCAL_WORDS[cause].startswith("lost ")
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
    assert str(found) == "kv.get: 50 ms of 50 ms at P99 was waiting for Consul or the network."


def test_fast_failures_are_no_good_day() -> None:
    aggregate = Aggregate()
    calls(aggregate, 90, "kv.get", 0.002)
    calls(aggregate, 10, "kv.get", 0.001, outcome="error")
    assert str(judge(aggregate.operations[0])) == "kv.get: 10 of 100 calls failed."


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(
    "cause",
    [*PHASES, *LOCAL_DELAYS, Cause.ERRORS, Cause.TIMEOUTS, Cause.NO_DEADLINE, Cause.NEVER_RETURNED],
)
def test_every_trouble_has_a_next_step(cause: str, *, held: bool) -> None:
    assert Verdict("kv.get", cause, "", blocking=held).next_step.endswith(".")


def held(*groups: tuple[int, float, dict[str, Any]]) -> Verdict:
    """On blocking queries: how many, seconds, and what about them."""
    aggregate = Aggregate()
    calls(aggregate, 20, "kv.get", 0.002, wait=0.9)
    for number, seconds, about in groups:
        blocking(aggregate, number, seconds, **about)
    found = worst(aggregate.operations + aggregate.blocking)
    assert found is not None
    assert found.well or found.blocking
    return judge(aggregate.blocking[0])


def test_blocking_queries_held_as_asked_for_are_well() -> None:
    found = held((100, 1.03, {"wait": 1.0, "event_loop": 0.4}))
    assert found.well
    assert found.sentence == "held no longer than asked for."


def test_a_late_blocking_query_is_trouble_and_wait_is_named() -> None:
    found = held((2, 6.0, {"late": 4.9, "wait": 1.0}))
    assert found.cause == "wait"
    assert found.seconds == pytest.approx(4.9)
    assert str(found) == "kv.get: 4.90 s of the 4.90 s it was late at P99 was waiting for Consul or the network."


def test_lateness_lost_in_this_process_is_never_the_servers() -> None:
    found = held((1, 3.5, {"late": 2.4, "wait": 1.0, "event_loop": 0.7}))
    assert found.cause == "event_loop"
    assert found.sentence == (
        "up to 2.40 s of the 2.40 s it was late at P99 was lost in this process: its event loop was blocked."
    )


def test_a_blocking_query_that_waits_for_a_connection_is_late_because_of_that() -> None:
    assert held((5, 2.0, {"late": 0.9, "pool": 0.5, "wait": 0.5})).cause == "pool"


def test_rare_or_slight_lateness_is_no_trouble() -> None:
    found = held((200, 1.0, {"wait": 1.0}), (1, 3.0, {"late": 2.0, "wait": 1.0}))
    assert found.well
    assert found.sentence == "over 99 % came in time."
    assert held((10, 1.0, {"late": 0.02})).sentence == "late by 20 ms at most, but for 1 %."


@pytest.mark.parametrize("outcome", ["error", "timeout"])
def test_failing_blocking_queries_are_trouble(outcome: str) -> None:
    found = held((20, 0.5, {"outcome": outcome}))
    assert found.cause == (Cause.ERRORS if outcome == "error" else Cause.TIMEOUTS)
    assert found.sentence in {"20 of 20 calls failed.", "20 of 20 calls timed out."}


def test_where_most_calls_fail_that_is_the_trouble_however_slow_they_are() -> None:
    aggregate = Aggregate()
    calls(aggregate, 5, "kv.get", 0.3, outcome="error", wait=1.0)
    found = judge(aggregate.operations[0])
    assert found.cause == Cause.ERRORS
    assert found.sentence == ("5 of 5 calls failed; 300 ms of 300 ms at P99 was waiting for Consul or the network.")
    assert held((5, 4.0, {"outcome": "error", "late": 2.9, "wait": 1.0})).cause == Cause.ERRORS


def test_what_cost_most_is_looked_at_first() -> None:
    aggregate = Aggregate()
    calls(aggregate, 10, "kv.put", 0.2, wait=1.0)
    blocking(aggregate, 1, 6.0, late=4.9, wait=1.0)
    assert worst(aggregate.operations + aggregate.blocking) == judge(aggregate.blocking[0])
    calls(aggregate, 100, "kv.put", 0.2, wait=1.0)
    assert worst(aggregate.operations + aggregate.blocking) == judge(aggregate.operations[0])


def test_timeouts_say_where_they_struck() -> None:
    aggregate = Aggregate()
    calls(aggregate, 90, "kv.get", 0.002)
    timeouts(aggregate, 10, "kv.get", 5.0, "connect")
    found = judge(aggregate.operations[0])
    assert found.cause == "connect"
    assert found.sentence == (
        "5.00 s of 5.00 s at P99 was opening a connection; 10 of 100 calls timed out in the phase `connect`."
    )


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


def test_a_call_that_still_hangs_is_not_given_up() -> None:
    aggregate = Aggregate()
    stalled(aggregate, "aa", "kv.get", 4.0, deadline="per_read")
    assert judge(aggregate.operations[0]).sentence == (
        "1 call has not returned yet (waiting for up to 4.00 s); called in fetch (shop.py:42)."
    )


def test_calls_that_took_no_time_are_explained_by_nothing() -> None:
    aggregate = Aggregate()
    aggregate.add(attributes("kv.get", 0.0), 0.0)
    assert judge(aggregate.operations[0]).sentence == "took no time that can be measured."


def test_without_calls_there_is_no_verdict() -> None:
    assert worst([]) is None


# --- Consul or the network? -------------------------------------------------------------------------------------------


def asked(seconds: float, *, lost: float = 0.0, again: int = 0, rtt: float = 0.001) -> Verdict:
    about = attributes("kv.get", seconds, wait=0.98) | {semconv.NETWORK_RTT: rtt}
    if lost:
        about |= {semconv.NETWORK_DELAY: lost, semconv.NETWORK_RETRANSMITS: again}
    aggregate = Aggregate()
    aggregate.add(about, seconds)
    return judge(aggregate.operations[0])


def test_consul_is_named_where_its_side_had_the_request() -> None:
    found = asked(2.0)
    assert found.cause == "consul"
    assert found.sentence.startswith("1.96 s of 2.00 s at P99 was waiting for Consul: its side had the whole request")
    assert "the network has done its part" in found.next_step


def test_the_network_is_named_where_the_request_had_to_be_sent_again() -> None:
    found = asked(1.0, lost=0.86, again=2)
    assert found.cause == "network"
    assert found.sentence.startswith(
        "860 ms of 1.00 s at P99 was lost by the network: a request was sent 3 times before it arrived"
    )
    assert "Consul is not at fault" in found.next_step


def test_a_long_way_is_the_networks() -> None:
    about = attributes("kv.get", 0.3, wait=0.98) | {semconv.NETWORK_RTT: 0.25, semconv.NETWORK_DELAY: 0.25}
    aggregate = Aggregate()
    aggregate.add(about, 0.3)
    assert "it is a long way to the agent" in judge(aggregate.operations[0]).sentence


def test_where_the_connection_could_not_be_asked_both_are_named() -> None:
    assert verdict(1.0, wait=0.98).sentence.startswith("980 ms of 1.00 s at P99 was waiting for Consul or the network")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("unacknowledged", "never acknowledged the request: the network, or a host that is gone"),
        ("acknowledged", "has the whole request and is silent: Consul, not the network"),
        ("closed_by_peer", "has hung up, and nobody here has noticed"),
    ],
)
def test_of_a_call_that_never_returned_it_says_whose_silence_it_is(state: str, words: str) -> None:
    aggregate = Aggregate()
    about = {semconv.OPERATION: "kv.get", semconv.ELAPSED: 12.0, semconv.DEADLINE: "none", semconv.NETWORK_STATE: state}
    aggregate.add(about, 12.0, span_id="2", parent_id="1")
    assert words in judge(aggregate.operations[0]).sentence
