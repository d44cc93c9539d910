"""What the parameters of a call mean."""

from __future__ import annotations

from collections import OrderedDict
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_consul.consul_api.endpoints import ROWS
from otel_consul.consul_api.operations import lookup
from otel_consul.consul_api.request import EMPTY, Query, blocking, hold, parse_duration, read

GET, _ = lookup("GET", "/v1/kv/a")
PUT, _ = lookup("PUT", "/v1/kv/a")
DELETE, _ = lookup("DELETE", "/v1/kv/a")
HEALTH, _ = lookup("GET", "/v1/health/service/web")
AGENT_SERVICE, _ = lookup("GET", "/v1/agent/service/web-1")
SELF, _ = lookup("GET", "/v1/agent/self")


@pytest.mark.parametrize(
    ("method", "names", "mode"),
    [
        ("GET", [], "key"),
        ("GET", ["recurse"], "recurse"),
        ("GET", ["keys"], "keys"),
        ("GET", ["raw"], "raw"),
        ("GET", ["recurse", "keys"], "keys"),
        ("GET", ["raw", "recurse"], "recurse"),
        ("GET", ["separator", "dc", "index"], "key"),
        ("GET", ["cas", "acquire"], "key"),
        ("PUT", [], "set"),
        ("PUT", ["flags"], "set"),
        ("PUT", ["cas"], "cas"),
        ("PUT", ["acquire"], "acquire"),
        ("PUT", ["release"], "release"),
        ("PUT", ["flags", "release"], "release"),
        ("DELETE", [], "key"),
        ("DELETE", ["recurse"], "recurse"),
        ("DELETE", ["cas"], "cas"),
    ],
)
@pytest.mark.parametrize("value", ["1", 1, 0, True, False, None, ""])
def test_mode_is_told_by_presence(method: str, names: list[str], mode: str, value: object) -> None:
    operation, _ = lookup(method, "/v1/kv/a")

    for order in permutations(names):
        assert read(operation, method, [(name, value) for name in order]).mode == mode


def test_only_kv_has_a_mode() -> None:
    assert read(HEALTH, "GET", [("recurse", "1"), ("cas", 1)]).mode is None


@pytest.mark.parametrize("params", [None, [], (), {}])
def test_no_parameters_cost_nothing(params: object) -> None:
    assert read(HEALTH, "GET", params) is EMPTY
    assert read(GET, "GET", params) is read(GET, "GET", None)
    assert read(GET, "GET", params) == Query("key")
    assert read(PUT, "PUT", params) == Query("set")
    assert read(DELETE, "DELETE", params) == Query("key")


FULL = [
    ("index", "226"),
    ("wait", "5s"),
    ("recurse", "1"),
    ("dc", "dc2"),
    ("stale", "1"),
    ("cached", ""),
    ("near", "n"),
]


@pytest.mark.parametrize("shape", [list, tuple, dict, OrderedDict])
def test_every_shape_of_parameters(shape: type) -> None:
    params = shape(FULL)
    expected = Query("recurse", "stale", cached=True, datacenter="dc2", index=226, wait=5.0)

    assert read(GET, "GET", params) == expected
    assert params == shape(FULL)  # left as it was


def test_parameters_twice_as_twisted_sends_them() -> None:
    assert read(GET, "GET", FULL + FULL) == read(GET, "GET", FULL)


@pytest.mark.parametrize(
    "params", ["index=5", b"index=5", 7, [1, 2], [("index",)], [("a", "b", "c")], [([], 1)], object()]
)
def test_what_no_client_can_send_is_left_alone(params: object) -> None:
    assert read(HEALTH, "GET", params) == EMPTY


def test_an_iterator_is_left_for_the_client() -> None:
    params = iter([("index", "5")])

    read(HEALTH, "GET", params)

    assert next(params) == ("index", "5")


@pytest.mark.parametrize(
    ("params", "consistency"),
    [
        ([("stale", "1")], "stale"),
        ([("consistent", "1")], "consistent"),
        ([("stale", None)], "stale"),
        ([("leader", "1")], "default"),
        ([("max_stale", "10s")], "default"),
    ],
)
def test_consistency(params: list[tuple[str, object]], consistency: str) -> None:
    assert read(HEALTH, "GET", params).consistency == consistency


@pytest.mark.parametrize(
    ("value", "index"),
    [
        ("5", 5),
        (5, 5),
        ("0", 0),
        (0, 0),
        ("18192893009563768022", 18192893009563768022),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", None),
        (2**64, None),
        ("9" * 5000, None),
        ("-1", None),
        (-1, None),
        ("+5", None),
        (" 5", None),
        ("1_0", None),
        ("٣", None),
        ("²", None),
        ("abc", None),
        ("", None),
        (None, None),
        (True, None),
        (5.0, None),
        (b"5", None),
    ],
)
def test_index_is_read_as_consul_reads_it(value: object, index: int | None) -> None:
    assert read(HEALTH, "GET", [("index", value)]).index == index


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("1m30s", 90.0),
        ("100ms", 0.1),
        ("18.9692771435s", 18.9692771435),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("5.s", 5.0),
        ("250us", 250e-6),
        ("250µs", 250e-6),  # U+00B5
        ("250μs", 250e-6),  # U+03BC
        ("10ns", 10e-9),
        ("+5s", 5.0),
        ("1h1m1s1ms", 3661.001),
        # Consul's default
        ("0", None),
        ("0s", None),
        ("-1s", None),
        ("", None),
        # Consul answers 400
        ("2", None),
        ("abc", None),
        ("2s ", None),
        ("s", None),
        (".s", None),
        ("1d", None),
        ("1s2", None),
        ("5S", None),
        ("٣s", None),
        ("9" * 40 + "h", None),
        ("1s" * 100, None),
        (5, None),
        (None, None),
        (True, None),
        (b"5s", None),
        ([], None),
    ],
)
def test_wait_is_a_go_duration(text: object, seconds: float | None) -> None:
    expected = seconds if seconds is None else pytest.approx(seconds)

    assert parse_duration(text) == expected
    assert read(HEALTH, "GET", [("wait", text)]).wait == expected


@pytest.mark.parametrize(("value", "datacenter"), [("dc1", "dc1"), ("", None), (None, None), (7, "7")])
def test_datacenter(value: object, datacenter: str | None) -> None:
    assert read(HEALTH, "GET", [("dc", value)]).datacenter == datacenter


def test_blocking_needs_an_operation_that_blocks() -> None:
    by_index = read(GET, "GET", [("index", "5")])
    by_hash = read(AGENT_SERVICE, "GET", [("hash", "4e5f")])

    assert blocking(GET, by_index)
    assert blocking(HEALTH, by_index)
    assert blocking(AGENT_SERVICE, by_hash)
    assert not blocking(SELF, by_index)  # agent endpoints ignore the index
    assert not blocking(AGENT_SERVICE, by_index)
    assert not blocking(GET, by_hash)
    assert not blocking(PUT, by_index)
    assert not blocking(GET, EMPTY)


def test_index_zero_or_wait_alone_does_not_block() -> None:
    assert not blocking(GET, read(GET, "GET", [("index", "0"), ("wait", "5s")]))
    assert not blocking(GET, read(GET, "GET", [("wait", "5s")]))
    assert not blocking(AGENT_SERVICE, read(AGENT_SERVICE, "GET", [("hash", "")]))


@pytest.mark.parametrize(
    ("wait", "held", "longest"),
    [
        (None, 300, 318.75),
        ("1s", 1, 1.0625),
        ("1600ms", 1.6, 1.7),
        ("10m", 600, 637.5),
        ("1h", 600, 637.5),
        ("0s", 300, 318.75),
    ],
)
def test_hold(wait: str | None, held: float, longest: float) -> None:
    assert hold(read(GET, "GET", [("index", 5), ("wait", wait)])) == pytest.approx((held, longest))


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=30), st.floats(), st.binary(max_size=5))
FLAGS = st.sampled_from(
    ["index", "wait", "hash", "stale", "consistent", "cached", "dc", "recurse", "keys", "raw", "cas", ""]
)


@given(row=st.sampled_from(ROWS), params=st.lists(st.tuples(st.one_of(FLAGS, VALUES), VALUES), max_size=8))
def test_no_parameters_raise(row: tuple[str, str, str, str], params: list[tuple[object, object]]) -> None:
    operation, _ = lookup(row[1], row[2])

    query = read(operation, row[1], params)

    blocking(operation, query)
    wait, longest = hold(query)
    assert 0 < wait <= longest <= 637.5
    assert query.index is None or 0 <= query.index < 2**64


@given(hours=st.integers(0, 99), minutes=st.integers(0, 999), ms=st.integers(1, 10**6))
def test_durations_add_up(hours: int, minutes: int, ms: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{ms}ms") == pytest.approx(hours * 3600 + minutes * 60 + ms / 1000)
