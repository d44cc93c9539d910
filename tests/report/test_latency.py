from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from otel_consul.report.latency import BUCKETS, ERROR, LONGEST, PARTS, SHORTEST, Latency
from otel_consul.semconv import Phase

durations = st.floats(SHORTEST, LONGEST)
NOTHING = [0.0] * len(PARTS)


def parts(**seconds: float) -> list[float]:
    return [seconds.get(name, 0.0) for name in PARTS]


@given(st.lists(durations, min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_off_by_two_and_a_half_percent_at_most(values: list[float], share: float) -> None:
    latency = Latency()
    for value in values:
        latency.add(value, NOTHING)
    true = sorted(values)[math.ceil(share * len(values)) - 1]
    assert abs(latency.quantile(share) - true) <= true * (ERROR + 1e-9)


@given(durations, st.integers(1, 50))
def test_equal_durations_are_told_exactly(seconds: float, number: int) -> None:
    latency = Latency()
    for _ in range(number):
        latency.add(seconds, NOTHING)
    assert math.isclose(latency.quantile(0.99), seconds)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=0)))
def test_buckets_are_bounded_whatever_the_durations(values: list[float]) -> None:
    latency = Latency()
    for value in values:
        latency.add(value, NOTHING)
    assert latency.buckets <= BUCKETS
    assert latency.count == len(values)


@given(st.lists(st.tuples(durations, st.integers(0, 8)), min_size=1))
def test_shares_of_phases_that_partition_each_call_sum_to_one(values: list[tuple[float, int]]) -> None:
    latency = Latency()
    for seconds, phase in values:
        latency.add(seconds, [seconds if index == phase else 0.0 for index in range(len(PARTS))])
    for makeup in (latency.makeup(), latency.tail(), latency.tail(1.0)):
        assert math.isclose(sum(makeup.phases.values()), 1.0, rel_tol=1e-6)


def test_the_tail_is_made_up_of_the_slowest_calls_alone() -> None:
    latency = Latency()
    for _ in range(990):
        latency.add(0.01, parts(wait=0.01))
    for _ in range(10):
        latency.add(2.0, parts(pool=2.0))
    assert latency.tail().phases["pool"] == 1.0
    assert latency.tail(0.02).phases["pool"] == 0.5
    assert latency.makeup().shares[Phase.WAIT] > 0.3


def test_one_very_long_call_does_not_outweigh_the_rest_of_the_tail() -> None:
    latency = Latency()
    for _ in range(970):
        latency.add(0.01, parts(wait=0.01))
    for _ in range(29):
        latency.add(1.0, parts(pool=1.0))
    latency.add(1000.0, parts(wait=1000.0))
    assert latency.tail().phases["pool"] == 0.9


def test_without_calls_there_is_nothing() -> None:
    assert Latency().quantile(0.99) == 0.0
    assert sum(Latency().tail().shares) == 0.0
