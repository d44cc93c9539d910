"""Answers and transports of shapes nobody expects: what can be read is told, and no call is lost."""

from __future__ import annotations

import functools
import http
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import pytest

from otel_consul import semconv
from otel_consul.metrics import definitions
from tests.clients.drivers import PlainObject, plain_object_client
from tests.support.telemetry import Telemetry

if (why_not := PlainObject.why_not()) is not None:
    pytest.skip(why_not, allow_module_level=True)

consul = pytest.importorskip("consul")
base = pytest.importorskip("consul.base")
URI = "http://10.0.0.1:8500"
PATH = "/v1/kv/a"


class Answer:
    """What a transport gives its callback."""

    def __init__(self, code: Any = 200, headers: Any = None, body: Any = "[]") -> None:
        self.code = code
        self.headers = {"X-Consul-Index": "5"} if headers is None else headers
        self.body = body


class Plain:
    """A transport of a user's own."""

    base_uri: Any = URI

    def __init__(self, answer: Any = None) -> None:
        self.answer = Answer() if answer is None else answer

    def get(self, callback: Any, path: Any, params: Any = None, **_: Any) -> Any:
        return callback(self.answer)

    put = post = delete = get


def client_of(transport: Any) -> Any:
    return plain_object_client(lambda *_, **__: transport)


def same(value: Any) -> Any:
    return value


def told_of(answer: Any, telemetry: Telemetry, verb: str = "get") -> dict[str, Any]:
    """What the only span says of a call that was answered so; the point is there too, and the caller gets the answer."""
    assert getattr(client_of(Plain(answer)).http, verb)(same, PATH) is answer
    assert telemetry.total(definitions.DURATION.name) == 1
    return dict(telemetry.span.attributes or {})


HEADERS = [
    {"X-Consul-Index": 5, "X-Consul-LastContact": 0, "X-Consul-KnownLeader": "true"},
    {"X-Consul-Index": ["5"]},
    {b"X-Consul-Index": b"5"},
    [("X-Consul-Index", "5")],
    [["x-consul-index", "5"], ["x-consul-knownleader", "true"], ["x-consul-lastcontact", "0"]],
    iter([("X-Consul-Index", "5")]),
]


@pytest.mark.parametrize("headers", HEADERS, ids=lambda headers: str(headers)[:40])
def test_headers_of_any_kind(headers: Any, instrumented: Telemetry) -> None:
    attributes = told_of(Answer(headers=headers), instrumented)

    wants = None if hasattr(headers, "__next__") else 5  # an iterator is the caller's to read
    assert attributes.get(semconv.RESPONSE_INDEX) == wants
    assert attributes[semconv.HTTP_RESPONSE_STATUS_CODE] == 200


@pytest.mark.parametrize(
    "headers", [{"X-Consul-Index": None}, 5, "X-Consul-Index", [1, 2], [("a",)], MagicMock()], ids=repr
)
def test_headers_that_say_nothing(headers: Any, instrumented: Telemetry) -> None:
    attributes = told_of(Answer(headers=headers), instrumented)

    assert semconv.RESPONSE_INDEX not in attributes
    assert attributes[semconv.OUTCOME] == semconv.Outcome.OK


STATUSES = [("200", 200), (http.HTTPStatus.OK, 200), ("404", 404), (None, None), (b"404", None), ("no", None)]


@pytest.mark.parametrize("verb", ["get", "put"])
@pytest.mark.parametrize(("status", "told"), STATUSES)
def test_statuses_of_any_kind(status: Any, told: int | None, verb: str, instrumented: Telemetry) -> None:
    attributes = told_of(Answer(status), instrumented, verb)

    assert attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE) == told
    assert attributes.get(semconv.OLD_STATUS_CODE) == told
    assert attributes[semconv.OUTCOME] == (semconv.Outcome.NOT_FOUND if told == 404 else semconv.Outcome.OK)


class Other(NamedTuple):
    status: int
    headers: dict[str, str]
    data: str


@pytest.mark.parametrize("answer", [Other(200, {}, "[]"), ("one",), 5, ""], ids=repr)
def test_answers_of_another_shape(answer: Any, instrumented: Telemetry) -> None:
    seen: list[Any] = []
    instrumented.uninstrument()
    instrumented.instrument(response_hook=lambda _span, _call, response: seen.append(response))

    attributes = told_of(answer, instrumented)

    assert semconv.HTTP_RESPONSE_STATUS_CODE not in attributes
    assert attributes[semconv.OUTCOME] == semconv.Outcome.OK
    assert seen == [None]


class AnythingGoes:
    """Whatever is asked for is a function, `base_uri` too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return functools.partial(self._request, name)

    def _request(self, verb: str, callback: Any, path: str, params: Any = None, **_: Any) -> Any:
        return callback(Answer())


class Raising(Plain):
    @property
    def base_uri(self) -> Any:  # type: ignore[override]
        raise ZeroDivisionError


def with_uri(uri: Any) -> Plain:
    transport = Plain()
    transport.base_uri = uri
    return transport


TRANSPORTS = [
    (AnythingGoes(), None),
    (Raising(), None),
    (with_uri(b"http://h:1"), None),
    (with_uri([]), None),
    (with_uri(MagicMock()), None),
    (with_uri("http://h:port"), None),
    (with_uri("http://[::1"), None),
    (with_uri("http://user:SECRET@h:1"), "h"),
]


@pytest.mark.parametrize(("transport", "address"), TRANSPORTS)
def test_addresses_of_any_kind(transport: Any, address: str | None, instrumented: Telemetry) -> None:
    assert client_of(transport).http.get(lambda answer: answer.code, PATH) == 200

    assert (instrumented.span.attributes or {}).get(semconv.SERVER_ADDRESS) == address
    assert instrumented.total(definitions.DURATION.name) == 1


def test_mock_is_a_transport(instrumented: Telemetry) -> None:
    mock = MagicMock()

    assert client_of(mock).http.get(same, PATH) is mock.get.return_value

    assert (instrumented.span.attributes or {})[semconv.OUTCOME] == semconv.Outcome.OK


@pytest.mark.parametrize(("path", "name"), [(b"/v1/kv/a", "kv.get"), (None, "other"), (5, "other")])
def test_paths_of_any_kind(path: Any, name: str, instrumented: Telemetry) -> None:
    assert client_of(Plain()).http.get(lambda answer: answer.code, path) == 200

    assert instrumented.span.name == name


def test_call_without_a_path_is_the_callers_mistake(instrumented: Telemetry) -> None:
    with pytest.raises(TypeError, match="path"):
        client_of(Plain()).http.get(same)

    assert (instrumented.span.attributes or {})[semconv.ERROR_TYPE] == "TypeError"


def test_callback_that_gets_nothing_is_the_transports_mistake(instrumented: Telemetry) -> None:
    class Nothing(Plain):
        def get(self, callback: Any, path: Any, params: Any = None, **_: Any) -> Any:
            return callback()

    with pytest.raises(TypeError, match="value"):
        client_of(Nothing()).http.get(same, PATH)

    assert (instrumented.span.attributes or {})[semconv.ERROR_TYPE] == "TypeError"


def test_time_outs_that_cannot_be_asked_for(instrumented: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """py-consul 1.8 works its time-out out from the parameters, and fails on some."""
    client = consul.Consul()

    def broken(params: Any) -> Any:
        raise TypeError("broken")

    transport = vars(client)["http"]
    transport.timeout = broken
    transport.get = lambda callback, path, params=None, **_: callback(Answer())  # no socket

    assert client.http.get(lambda answer: answer.code, PATH) == 200

    assert semconv.DEADLINE not in (instrumented.span.attributes or {})
    assert caplog.records == []
