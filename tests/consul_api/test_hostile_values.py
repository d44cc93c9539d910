"""Parameters that are not what they say they are: nothing of theirs is called, and one of them costs no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_consul.consul_api.operations import lookup
from otel_consul.consul_api.request import Query, read
from tests.differential import values
from tests.support.fake_client import observed, value_of
from tests.support.telemetry import Telemetry

KV, _ = lookup("GET", "/v1/kv/a")
HOSTILE = [make for make in values.BAD if type(make()).__module__ == values.__name__ or make().__class__ is str]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize("name", ["index", "wait", "dc", "hash"])
def test_a_hostile_value_is_not_asked(make: Any, name: str) -> None:
    query = read(KV, "GET", [("recurse", "1"), ("stale", "1"), ("other", make()), (name, make())])
    assert (query.mode, query.consistency) == ("recurse", "stale")
    assert all(type(value) in (str, int, float, bool, type(None)) for value in query)


class Text(str):
    """As an enumeration of texts: prints otherwise than it is sent."""

    __slots__ = ()

    def __str__(self) -> str:
        return "printed"


def test_a_text_of_another_class_is_read_as_it_is_sent() -> None:
    given = {"index": Text("7"), "wait": Text("10s"), "dc": Text("dc1"), "hash": Text("abc")}
    assert read(KV, "GET", given) == Query("key", index=7, wait=10.0, datacenter="dc1", hash="abc")


class NoTruth:
    def __bool__(self) -> bool:
        raise ValueError("broken")


@pytest.mark.parametrize("path", [Path("/v1/kv/a"), values.broken("startswith", "find", base=str)()])
def test_a_call_that_cannot_be_read_is_a_call(path: Any, telemetry: Telemetry) -> None:
    with observed(telemetry) as fake:
        client = fake.client()
        for given, params in (("/v1/kv/a", NoTruth()), (path, None)):
            assert client.http.get(value_of, given, params) == "[]"
    assert [(span.attributes or {})["consul.operation"] for span in telemetry.spans] == ["kv.get", "other"]
