"""What is the same for every call of one kind: addresses, old names, and that there is one of each kind."""

from __future__ import annotations

from typing import Any

import pytest

from otel_consul import semconv
from otel_consul.call import call_types
from otel_consul.call.call_types import CallTypes, server_attributes
from otel_consul.consul_api.operations import lookup
from otel_consul.consul_api.request import Query, read
from otel_consul.in_flight.registry import Registry
from otel_consul.metrics.totals import Totals
from otel_consul.settings import Settings

ADDRESS, PORT = semconv.SERVER_ADDRESS, semconv.SERVER_PORT
KV, _ = lookup("GET", "/v1/kv/a")
PUT, _ = lookup("PUT", "/v1/kv/a")
OTHER, _ = lookup("GET", "/v9/x")


@pytest.mark.parametrize(
    ("base_uri", "expected"),
    [
        ("http://127.0.0.1:8500", {ADDRESS: "127.0.0.1", PORT: 8500}),
        ("https://consul.example", {ADDRESS: "consul.example", PORT: 443}),
        ("http://consul.example/prefix", {ADDRESS: "consul.example", PORT: 80}),
        ("http://[::1]:8500", {ADDRESS: "::1", PORT: 8500}),
        ("http://user:secret@consul.example:1", {ADDRESS: "consul.example", PORT: 1}),
        ("http+unix://%2Fvar%2Frun%2Fconsul.sock", {ADDRESS: "/var/run/consul.sock"}),
        ("unix:///var/run/consul.sock", {ADDRESS: "/var/run/consul.sock"}),
        (None, {}),
        ("", {}),
        ("http://127.0.0.1:port", {}),
        ("http://[::1", {}),
        ("nonsense", {}),
        ("ftp://host", {ADDRESS: "host"}),
    ],
)
def test_server(base_uri: str | None, expected: dict[str, Any]) -> None:
    assert server_attributes(base_uri) == expected


def types_of(*, old_names: bool = False, **settings: Any) -> CallTypes:
    return CallTypes(Settings.build(settings, {}), Totals(Registry().snapshot, 5.0), old_names=old_names)


def test_one_type_for_the_same_calls() -> None:
    known = types_of()
    query = read(KV, "GET", None)
    assert known.get("http://a:1", KV, query, False) is known.get(
        "http://a:1", KV, read(KV, "GET", [("dc", "x")]), False
    )
    others = {
        id(known.get("http://a:1", KV, query, False)),
        id(known.get("http://b:1", KV, query, False)),
        id(known.get("http://a:1", KV, query, True)),
        id(known.get("http://a:1", KV, query._replace(consistency="stale"), False)),
        id(known.get("http://a:1", KV, query._replace(mode="keys"), False)),
        id(known.get("http://a:1", PUT, read(PUT, "PUT", None), False)),
    }
    assert len(others) == 6


@pytest.mark.parametrize("old_names", [True, False])
def test_start_attributes(old_names: bool) -> None:
    call_type = types_of(old_names=old_names).get("http://a:1", KV, Query("keys", "consistent", cached=True), True)

    old = {"net.peer.name": "a", "net.peer.port": 1, "peer.service": "consul"} if old_names else {}
    assert call_type.start_attributes == {
        semconv.OPERATION: "kv.get",
        semconv.HTTP_REQUEST_METHOD: "GET",
        semconv.URL_TEMPLATE: "/v1/kv/{key}",
        semconv.MODE: "keys",
        semconv.CONSISTENCY: "consistent",
        semconv.CACHED: True,
        semconv.BLOCKING: True,
        ADDRESS: "a",
        PORT: 1,
        **old,
    }


def test_defaults_are_left_out() -> None:
    call_type = types_of().get(None, PUT, Query("set", "stale"), False)  # a write has no consistency
    assert call_type.start_attributes == {
        semconv.OPERATION: "kv.put",
        semconv.HTTP_REQUEST_METHOD: "PUT",
        semconv.URL_TEMPLATE: "/v1/kv/{key}",
    }
    assert types_of().get(None, OTHER, Query(), False).start_attributes == {
        semconv.OPERATION: "other",
        semconv.HTTP_REQUEST_METHOD: "GET",
    }


def test_error_type_is_of_failures_only() -> None:
    call_type = types_of().get("http://a:1", KV, Query("key"), False)
    base = {semconv.OPERATION: "kv.get", semconv.BLOCKING: False, ADDRESS: "a", PORT: 1}
    for outcome, error_type, more in (
        ("ok", None, {}),
        ("error", "500", {semconv.ERROR_TYPE: "500"}),
        ("timeout", "TimeoutError", {semconv.ERROR_TYPE: "TimeoutError"}),
        ("cancelled", "X", {}),
    ):
        attributes = call_type.duration_attributes(outcome, error_type)
        assert attributes == {**base, semconv.OUTCOME: outcome, **more}
        assert call_type.duration_attributes(outcome, error_type) is attributes


def test_address_per_call_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_types, "_MOST_TYPES", 10)
    known = types_of()
    for number in range(100):
        call_type = known.get(f"http://10.0.0.{number}:8500", KV, Query("key"), False)
    assert len(known._types) <= 11
    assert ADDRESS not in call_type.start_attributes
    assert ADDRESS not in call_type.series.attributes


@pytest.mark.parametrize(("blocking", "spans"), [(True, "errors"), (False, "all")])
def test_blocking_spans_are_about_blocking_queries(blocking: bool, spans: str) -> None:
    assert types_of(blocking_spans="errors").get(None, KV, Query("key"), blocking).spans == spans
