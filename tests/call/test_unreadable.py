"""One unreadable fact costs no other: whatever headers are, a call has its outcome, and ends once in span, histogram and totals."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from otel_consul import guard, semconv
from otel_consul.metrics import definitions
from tests.support.fake_client import Response, observed
from tests.support.telemetry import Telemetry

requests = pytest.importorskip("requests")

HEADERS: dict[str, Any] = {
    "int": 12,
    "bytes": b"12",
    "list": ["12"],
    "bool": True,
    "object": object(),
    "None": None,
}


def of(body: Any) -> Any:
    return lambda response: response.body


def headers(value: Any) -> Any:
    names = ("X-Consul-Index", "X-Consul-KnownLeader", "X-Consul-LastContact", "Age", "X-Cache", "X-Consul-ContentHash")
    return dict.fromkeys(names, value)


def ended(telemetry: Telemetry, outcome: str) -> dict[str, Any]:
    (span,) = telemetry.spans
    attributes = dict(span.attributes or {})
    assert attributes[semconv.OUTCOME] == outcome
    assert {type(value) for value in attributes.values()} <= {str, int, float, bool}
    assert telemetry.total(definitions.DURATION.name, **{semconv.OUTCOME: outcome}) == 1
    assert telemetry.total(definitions.OPERATIONS.name) == 1
    assert telemetry.total(definitions.ACTIVE.name) == 0
    assert telemetry.total(definitions.PHASE_TIME.name) > 0
    return attributes


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("make", [dict, requests.structures.CaseInsensitiveDict], ids=["dict", "requests"])
@pytest.mark.parametrize(
    ("verb", "args", "code", "body", "outcome"),
    [
        ("get", ("/v1/kv/a",), 200, "[]", "ok"),
        ("get", ("/v1/kv/a",), 404, "", "not_found"),
        ("put", ("/v1/kv/a", {"cas": 1}), 200, "false", "not_applied"),
        ("get", ("/v1/kv/a", {"index": 5}), 200, "[]", "ok"),
        ("get", ("/v1/kv/a", {"index": 5}), 500, "", "error"),
        ("get", ("/v1/agent/service/a", {"hash": "x"}), 200, "{}", "ok"),
    ],
)
def test_headers_that_are_no_text(
    verb: str, args: tuple[Any, ...], code: int, body: str, outcome: str, make: Any, kind: str, telemetry: Telemetry
) -> None:
    answer = Response(code, make(headers(HEADERS[kind])), body)
    with observed(telemetry) as library:
        client = library.client(lambda: answer)
        assert getattr(client.http, verb)(of(body), *args) is body
        ended(telemetry, outcome)


@pytest.mark.parametrize("status", [HTTPStatus.OK, HTTPStatus.NOT_FOUND, True, 200.0])
def test_a_status_is_a_number_or_absent(status: Any, telemetry: Telemetry) -> None:
    answer = Response(status, {}, "[]")
    with observed(telemetry) as library:
        library.client(lambda: answer).http.get(of("[]"), "/v1/kv/a")
        attributes = ended(telemetry, "not_found" if status == HTTPStatus.NOT_FOUND else "ok")
    assert type(attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE, 200)) is int
    assert attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE) != 1


def test_a_histogram_that_raises_costs_neither_span_nor_totals(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("record")

    monkeypatch.setattr(guard, "strict", False)
    with observed(telemetry) as library:
        monkeypatch.setattr(library.recorder.shared.duration, "record", broken)
        library.client(lambda: Response(200, {}, "[]")).http.get(of("[]"), "/v1/kv/a")
        assert len(telemetry.spans) == 1
        assert telemetry.total(definitions.PHASE_TIME.name) > 0
        assert telemetry.total(definitions.ACTIVE.name) == 0


class Odd:
    """An argument whose every reading raises."""

    def broken(self, *_: Any) -> Any:
        raise ArithmeticError

    __str__ = __repr__ = __bool__ = __eq__ = __hash__ = __len__ = __iter__ = broken  # type: ignore[assignment]


@pytest.mark.parametrize(
    "params",
    [{"dc": Odd()}, [("dc", 10**5000)], {"hash": Odd()}, {"index": Odd()}, {"wait": Odd()}, {Odd: Odd()}, 5, Odd()],
    ids=["dc", "number", "hash", "index", "wait", "name", "int", "odd"],
)
def test_parameters_that_cannot_be_read_leave_the_rest(params: Any, telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        library.client(lambda: Response(200, {}, "[]")).http.get(of("[]"), "/v1/kv/a", params)
        attributes = ended(telemetry, "ok")
    assert attributes[semconv.OPERATION] == "kv.get"
    assert attributes[semconv.KV_KEY] == "a"


@pytest.mark.parametrize("path", [["/v1/kv/a"], None, 5, Odd(), b"\xff"], ids=["list", "None", "int", "odd", "bytes"])
def test_a_path_that_cannot_be_read_is_an_operation_all_the_same(path: Any, telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        library.client(lambda: Response(200, {}, "[]")).http.get(of("[]"), path)
        assert ended(telemetry, "ok")[semconv.OPERATION] == "other"


def test_what_cannot_be_read_at_all_is_a_call_all_the_same(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "strict", False)
    with observed(telemetry, capture_keys="prefix") as library:
        monkeypatch.setattr(library.recorder, "_add_name", Odd())
        library.client(lambda: Response(200, {}, "[]")).http.get(of("[]"), "/v1/kv/a")
        assert ended(telemetry, "ok")[semconv.OPERATION] == "other"
    assert "reading a call" in caplog.text
