"""What the headers of an answer say, whoever's headers they are."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_consul import semconv
from otel_consul.consul_api import response
from otel_consul.consul_api.operations import lookup
from otel_consul.consul_api.request import Query
from otel_consul.semconv import Wakeup

KV, _ = lookup("GET", "/v1/kv/a")
EVENTS, _ = lookup("GET", "/v1/event/list")
SERVICE, _ = lookup("GET", "/v1/agent/service/web")
READ = {"X-Consul-Index": "28", "X-Consul-Knownleader": "true", "X-Consul-Lastcontact": "0"}


def described(headers: Any) -> tuple[dict[str, Any], bool, float | None]:
    attributes: dict[str, Any] = {}
    leaderless, contact = response.describe(response.read(headers), attributes)
    return attributes, leaderless, contact


def of_requests(headers: dict[str, str]) -> Any:
    return pytest.importorskip("requests").structures.CaseInsensitiveDict(headers)


def of_multidict(headers: dict[str, str]) -> Any:
    multidict = pytest.importorskip("multidict")
    return multidict.CIMultiDictProxy(multidict.CIMultiDict(headers))


@pytest.mark.parametrize("kind", [dict, MappingProxyType, of_requests, of_multidict])
@pytest.mark.parametrize("spelling", [str, str.lower, str.upper])
def test_headers_of_every_library(kind: Any, spelling: Any) -> None:
    headers = kind({spelling(name): value for name, value in (READ | {"X-Consul-Lastcontact": "1500"}).items()})

    assert described(headers) == (
        {semconv.RESPONSE_INDEX: 28, semconv.RESPONSE_LAST_CONTACT: 1.5},
        False,
        1.5,
    )


def test_healthy_defaults_are_left_out_but_counted() -> None:
    assert described(READ) == ({semconv.RESPONSE_INDEX: 28}, False, 0.0)
    assert described(None) == ({}, False, None)
    assert described({}) == ({}, False, None)


def test_no_leader() -> None:
    attributes, leaderless, contact = described(
        READ | {"X-Consul-Knownleader": "false", "X-Consul-Lastcontact": "22863"}
    )
    assert attributes[semconv.RESPONSE_KNOWN_LEADER] is False
    assert (leaderless, contact) == (True, 22.863)


@pytest.mark.parametrize("common", [READ, {"X-Consul-Index": "28"}, {}], ids=["all", "index", "none"])
def test_rarer_headers_do_not_depend_on_the_common_ones(common: dict[str, str]) -> None:
    """Leaf certificates come with an index and X-Cache only; streamed answers without contact and leader."""
    rare = {
        "X-Cache": "HIT",
        "Age": "3",
        "X-Consul-Effective-Consistency": "leader",
        "X-Consul-Query-Backend": "streaming",
        "X-Consul-Results-Filtered-By-Acls": "true",
    }
    told = {
        "X-Cache": {semconv.RESPONSE_CACHE: "hit"},
        "Age": {semconv.RESPONSE_AGE: 3.0},
        "X-Consul-Effective-Consistency": {semconv.RESPONSE_CONSISTENCY: "leader"},
        "X-Consul-Query-Backend": {semconv.RESPONSE_QUERY_BACKEND: "streaming"},
        "X-Consul-Results-Filtered-By-Acls": {semconv.RESPONSE_FILTERED_BY_ACLS: True},
    }
    plain, _, _ = described(common)
    for name, value in rare.items():
        attributes, _, _ = described(common | {name: value})
        assert attributes == plain | told[name]


@pytest.mark.parametrize("number", ["18192893009563768022", "9223372036854775808"])
def test_index_beyond_63_bits_is_no_attribute(number: str) -> None:
    assert described({"X-Consul-Index": number})[0] == {}
    assert described({"X-Consul-Index": "9223372036854775807"})[0] == {semconv.RESPONSE_INDEX: (1 << 63) - 1}


NUMERIC = ("X-Consul-Index", "X-Consul-Lastcontact", "Age")


@pytest.mark.parametrize("text", ["", "-1", "1.5", " 7", "abc", "²", "٣x", "9" * 5000])
@pytest.mark.parametrize("name", NUMERIC)
def test_number_that_is_none_is_left_out(name: str, text: str) -> None:
    assert described({name: text})[0] == {}


@given(
    st.dictionaries(st.sampled_from([*NUMERIC, "X-Cache", "X-Consul-Knownleader", "X-Consul-Query-Backend"]), st.text())
)
def test_any_header_is_survived(headers: dict[str, str]) -> None:
    attributes, _, contact = described(headers)
    response.wakeup(KV, Query(index=5), response.read(headers), 1.0)

    assert all(value is not None and value != "" for value in attributes.values())
    assert contact is None or contact >= 0


@pytest.mark.parametrize(
    ("operation", "query", "headers", "elapsed", "expected"),
    [
        (KV, Query(index=5, wait=10), {"X-Consul-Index": "6"}, 0.5, Wakeup.CHANGED),
        (KV, Query(index=5, wait=10), {"X-Consul-Index": "5"}, 10.1, Wakeup.EXPIRED),
        (KV, Query(index=5, wait=10), {"X-Consul-Index": "5"}, 9.9, Wakeup.WOKEN_UNCHANGED),
        (KV, Query(index=5, wait=10), {"X-Consul-Index": "4"}, 1, Wakeup.RESET),
        (KV, Query(index=5), {"X-Consul-Index": "5"}, 299, Wakeup.WOKEN_UNCHANGED),
        (KV, Query(index=5), {"X-Consul-Index": "5"}, 301, Wakeup.EXPIRED),
        (KV, Query(index=5, wait=3600), {"X-Consul-Index": "5"}, 601, Wakeup.EXPIRED),
        (KV, Query(index=5), {}, 1, None),
        (EVENTS, Query(index=5), {"X-Consul-Index": "4"}, 1, Wakeup.CHANGED),
        (EVENTS, Query(index=5, wait=1), {"X-Consul-Index": "5"}, 1.1, Wakeup.EXPIRED),
        (SERVICE, Query(hash="a", wait=1), {"X-Consul-ContentHash": "b"}, 0.1, Wakeup.CHANGED),
        (SERVICE, Query(hash="a", wait=1), {"X-Consul-ContentHash": "a"}, 1.1, Wakeup.EXPIRED),
        (SERVICE, Query(hash="a", wait=1), {}, 1.1, None),
    ],
)
def test_wakeup(operation: Any, query: Query, headers: Any, elapsed: float, expected: str | None) -> None:
    assert response.wakeup(operation, query, response.read(headers), elapsed) == expected


@pytest.mark.parametrize(
    ("wait", "elapsed", "expected"),
    [(3.0, 13.04, 9.8525), (3.0, 3.19, 0), (3.0, 3.3, 0.1125), (None, 318.7, 0), (None, 320.0, 1.25), (3600, 637, 0)],
)
def test_late_is_what_is_beyond_the_wait_and_its_sixteenth(wait: float | None, elapsed: float, expected: float) -> None:
    assert response.late(Query(index=5, wait=wait), elapsed) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("header", ["X-Consul-Effective-Consistency", "X-Consul-Query-Backend", "X-Cache"])
def test_a_word_that_consul_does_not_use_is_not_repeated(header: str) -> None:
    attributes: dict[str, Any] = {}
    response.describe(response.read({header: "5ec7e7"}), attributes)
    assert attributes == {}


@pytest.mark.parametrize("code", [10**30, -1, 99_999, "4e4"])
def test_a_status_that_is_none_is_not_exported(code: object) -> None:
    assert response.status(code) is None
