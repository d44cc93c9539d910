"""Transports of the user's own behind `consul.base.Consul`: what `client.http` must keep being, on, off and over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from otel_consul import semconv
from tests.clients.drivers import PlainObject, plain_object_client
from tests.support.telemetry import Telemetry

if (why_not := PlainObject.why_not()) is not None:
    pytest.skip(why_not, allow_module_level=True)

consul = pytest.importorskip("consul")


class Scripted:
    """No base class, no `base_uri`, no callback called: a test double as the libraries' own tests use them."""

    colour = "blue"

    def __init__(self, *_: Any, **__: Any) -> None:
        self.result: Any = object()

    def __getattr__(self, verb: str) -> Any:
        if verb not in ("get", "put", "post", "delete"):
            raise AttributeError(verb)

        def send(*_: Any, **__: Any) -> Any:
            if isinstance(self.result, BaseException):
                raise self.result
            return self.result

        return send


@pytest.fixture
def client() -> Any:
    return plain_object_client(Scripted)


def test_transport_that_never_calls_back(client: Any, instrumented: Telemetry) -> None:
    assert client.kv.get("a") is client.http.result
    assert (instrumented.span.attributes or {})[semconv.OUTCOME] == semconv.Outcome.OK


@pytest.mark.parametrize("error", [ValueError("prepared"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_exception_is_the_same_object(error: BaseException, client: Any, instrumented: Telemetry) -> None:
    client.http.result = error

    with pytest.raises(type(error)) as caught:
        client.kv.get("a")

    assert caught.value is error
    assert len(instrumented.spans) == 1


def test_awaited_value_is_the_same_object(client: Any, instrumented: Telemetry) -> None:
    sentinel = object()

    async def answer() -> Any:
        await asyncio.sleep(0)
        return sentinel

    client.http.result = answer()

    async def main() -> Any:
        return await client.kv.get("a")

    assert asyncio.run(main()) is sentinel
    assert len(instrumented.spans) == 1


def test_awaited_exception_is_the_same_object(client: Any, instrumented: Telemetry) -> None:
    prepared = ValueError("prepared")

    async def answer() -> Any:
        await asyncio.sleep(0)
        raise prepared

    client.http.result = answer()

    async def main() -> Any:
        return await client.kv.get("a")

    with pytest.raises(ValueError, match="prepared") as caught:
        asyncio.run(main())

    assert caught.value is prepared
    assert (instrumented.span.attributes or {})[semconv.ERROR_TYPE] == "ValueError"


def test_http_stays_what_it_was(client: Any, telemetry: Telemetry) -> None:
    raw = client.http
    telemetry.instrument()

    assert client.http is client.http
    assert isinstance(client.http, Scripted)
    assert client.http.colour == "blue"
    client.http.colour = "red"
    assert raw.colour == "red"
    with pytest.raises(AttributeError):
        client.http.no_such_thing  # noqa: B018

    telemetry.uninstrument()
    assert client.http is raw


def test_http_can_be_replaced(client: Any, telemetry: Telemetry) -> None:
    telemetry.instrument()
    other = Scripted()

    client.http = other
    assert client.kv.get("a") is other.result
    proxy = client.http
    client.http = proxy  # as a user who wraps, looks and puts back
    assert client.kv.get("a") is other.result

    assert len(telemetry.spans) == 2
    telemetry.uninstrument()
    assert client.http is other


def test_http_that_is_not_there_yet_is_an_attribute_error(instrumented: Telemetry) -> None:
    bare = consul.base.Consul.__new__(consul.base.Consul)

    with pytest.raises(AttributeError):
        bare.http  # noqa: B018
    assert not hasattr(bare, "http")
    assert instrumented.spans == []


def test_subclass_defined_after_is_seen(instrumented: Telemetry) -> None:
    class After(consul.base.Consul):  # type: ignore[misc]
        @staticmethod
        def http_connect(*_: Any, **__: Any) -> Any:
            return Scripted()

        connect = http_connect

    After().kv.get("a")

    assert len(instrumented.spans) == 1


def test_call_by_hand_is_seen(client: Any, instrumented: Telemetry) -> None:
    client.http.put(lambda response: response, "/v1/kv/a", data="x")

    assert [span.name for span in instrumented.spans] == ["kv.put"]
