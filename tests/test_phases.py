"""The clock's partition holds whatever transports say, in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_consul import phases
from otel_consul.phases import Clock
from otel_consul.semconv import PHASES, Phase
from otel_consul.transports.tornado import signals as tornado_signals

MOMENT = st.floats(0, 1000, allow_nan=False)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), MOMENT, st.integers(0, len(PHASES) - 1)),
        st.tuples(st.just("mark_at"), MOMENT, st.integers(0, len(PHASES) - 1)),
        st.tuples(st.just("failed"), MOMENT, st.just("builtins.OSError")),
        st.tuples(st.just("answered"), MOMENT, st.sampled_from([200, 302, 503])),
        st.tuples(st.just("next_try"), MOMENT, st.none()),
        st.tuples(
            st.just("share_out"), MOMENT, st.dictionaries(st.sampled_from(["namelookup", "connect", "total"]), MOMENT)
        ),
    ),
    max_size=30,
)


class Time:
    """A `perf_counter` that moves when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(phases, "perf_counter", time)
    return time


def play(clock: Clock, time: Time, steps: list[tuple[str, float, Any]]) -> None:
    for what, passed, value in steps:
        time.now += passed
        if what == "mark":
            clock.mark(value)
        elif what == "mark_at":
            clock.mark_at(value, time.now)
            time.now += passed
        elif what == "failed":
            clock.failed(value)
        elif what == "answered":
            clock.why = value
        elif what == "next_try":
            clock.next_try()
        elif clock.running:
            tornado_signals.share_out(clock, passed / 2, value)


@given(steps=STEPS, last=MOMENT)
def test_phases_add_up_to_the_duration_and_none_is_negative(steps: list[tuple[str, float, Any]], last: float) -> None:
    time = Time()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(phases, "perf_counter", time)
        patched.setattr(tornado_signals, "perf_counter", time)
        clock = Clock()
        clock.start()
        play(clock, time, steps)
        time.now += last
        elapsed = clock.stop()
    assert elapsed == time.now
    assert sum(clock.times) == pytest.approx(elapsed)
    assert min(clock.times) >= -1e-9 * elapsed
    assert clock.resends == len(clock.retries or ())
    assert [number for _, number, _ in clock.retries or ()] == list(range(1, clock.resends + 1))


@given(steps=STEPS, more=STEPS)
def test_a_stopped_clock_stays_as_it_is(
    steps: list[tuple[str, float, Any]], more: list[tuple[str, float, Any]]
) -> None:
    time = Time()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(phases, "perf_counter", time)
        patched.setattr(tornado_signals, "perf_counter", time)
        clock = Clock()
        clock.start()
        play(clock, time, steps)
        clock.stop()
        before = list(clock.times), clock.phase, clock.resends, clock.last
        play(clock, time, more)
        assert (list(clock.times), clock.phase, clock.resends, clock.last) == before


def test_each_second_goes_to_the_phase_that_ran(time: Time) -> None:
    clock = Clock()
    clock.start()
    for phase, until in ((Phase.POOL, 1.0), (Phase.SEND, 3.0), (Phase.WAIT, 6.0), (Phase.DECODE, 10.0)):
        time.now = until
        clock.mark(phase)
    time.now = 15.0
    assert clock.phase_name == "decode"
    assert clock.stop() == 15.0
    found = {PHASES[phase]: seconds for phase, seconds in enumerate(clock.times) if seconds}
    assert found == {"other": 1.0, "pool": 2.0, "send": 3.0, "wait": 4.0, "decode": 5.0}


def test_what_ran_between_two_tries_is_back_off(time: Time) -> None:
    clock = Clock()
    clock.start()
    clock.mark(Phase.WAIT)
    time.now = 1.0
    clock.failed("urllib3.exceptions.ProtocolError")
    assert clock.phase == Phase.WAIT  # where the error struck, if the call ends with it
    time.now = 4.0
    clock.next_try()
    clock.mark(Phase.POOL)
    time.now = 4.5
    clock.stop()
    assert (clock.times[Phase.WAIT], clock.times[Phase.BACKOFF], clock.times[Phase.POOL]) == (1.0, 3.0, 0.5)
    assert clock.retries == [(4.0, 1, "urllib3.exceptions.ProtocolError")]


def test_a_status_is_a_reason_too(time: Time) -> None:
    clock = Clock()
    clock.start()
    clock.next_try()  # the first try is no resend
    clock.mark(Phase.RECEIVE)
    clock.why = 302
    clock.next_try()
    clock.next_try()  # nor is one that was counted
    clock.stop()
    assert [(number, why) for _, number, why in clock.retries or ()] == [(1, "302")]


def test_libcurls_moments_become_phases(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado_signals, "perf_counter", time)
    clock = Clock()
    clock.start()
    time.now = 10.0
    moments = {
        "namelookup": 0.5,
        "connect": 1.0,
        "appconnect": 2.0,
        "pretransfer": 2.25,
        "starttransfer": 5.0,
        "total": 8.0,
    }
    tornado_signals.share_out(clock, 8.0, {"queue": 2.0, **moments, "redirect": 0.0})
    clock.mark(Phase.DECODE)
    time.now = 10.5
    clock.stop()
    found = {PHASES[phase]: seconds for phase, seconds in enumerate(clock.times) if seconds}
    assert found == {
        "pool": 2.0, "dns": 0.5, "connect": 0.5, "tls": 1.0, "send": 0.25, "wait": 2.75, "receive": 3.0, "decode": 0.5,
    }  # fmt: skip
