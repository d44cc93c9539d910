"""A transport around the client's own, as users write them to retry: it keeps our proxy, and one request is one span."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from otel_consul import semconv
from otel_consul.metrics import definitions
from tests.support.fake_client import OK, Response, observed, value_of
from tests.support.telemetry import Telemetry

PATH = "/v1/kv/a"


class Passing:
    """Hands everything down as it is."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner.get(*args, **kwargs)


class Later(Passing):
    """As `Passing`, for coroutines."""

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        return await self.inner.get(*args, **kwargs)


class Retrying(Passing):
    """Looks at the answer before the client does."""

    def get(self, callback: Any, path: str, params: Any = None) -> Any:
        for _ in range(3):
            answer = self.inner.get(lambda response: response, path, params)
            if answer.code < 500:
                break
        return callback(answer)


class RetryingLater(Passing):
    """As `Retrying`, for coroutines."""

    async def get(self, callback: Any, path: str, params: Any = None) -> Any:
        for _ in range(3):
            answer = await self.inner.get(lambda response: response, path, params)
            if answer.code < 500:
                break
        return callback(answer)


def assert_one(telemetry: Telemetry) -> None:
    assert telemetry.span.name == "kv.get"
    assert (telemetry.span.attributes or {})[semconv.RESPONSE_INDEX] == 7
    assert telemetry.total(definitions.OPERATIONS.name) == 1
    assert telemetry.total(definitions.DURATION.name) == 1
    assert telemetry.total(definitions.ACTIVE.name) == 0


@pytest.mark.parametrize("kinds", [(Passing,), (Retrying,), (Passing, Retrying), (Retrying, Passing)])
def test_one_request_is_one_span(kinds: tuple[type[Passing], ...], telemetry: Telemetry) -> None:
    answers = [Response(500, {}, ""), OK] if Retrying in kinds else [OK]
    with observed(telemetry) as library:
        client = library.client(lambda: answers.pop(0))
        for kind in kinds:
            client.http = kind(client.http)
        assert client.http.get(value_of, PATH) == OK.body
        assert_one(telemetry)


@pytest.mark.parametrize("kind", [Passing, Later, RetryingLater])
def test_one_awaited_request_is_one_span(kind: type[Passing], telemetry: Telemetry) -> None:
    async def work() -> Any:
        await asyncio.sleep(0)
        return OK

    async def main() -> Any:
        return await client.http.get(value_of, PATH)

    with observed(telemetry) as library:
        client = library.client(work, lazy=True)
        client.http = kind(client.http)
        assert asyncio.run(main()) == OK.body
        assert_one(telemetry)


def test_other_request_of_the_transport_is_a_call_of_its_own(telemetry: Telemetry) -> None:
    """It asks Consul, on the way, what it must send."""

    class Asking(Passing):
        def get(self, callback: Any, path: str, params: Any = None) -> Any:
            assert self.inner.get(value_of, "/v1/status/leader") == OK.body
            return self.inner.get(callback, path, params)

    with observed(telemetry) as library:
        client, other = library.client(), library.client()
        client.http = Asking(client.http)
        client.http.get(value_of, PATH)
        client.http = Passing(Transporting(other))
        client.http.get(value_of, PATH)

    assert [span.name for span in telemetry.spans] == ["status.leader", "kv.get", "kv.get", "kv.get"]


class Transporting:
    """Asks another client, which is no transport of this one's."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def get(self, callback: Any, path: str, params: Any = None) -> Any:
        self.client.http.get(value_of, PATH)
        return callback(OK)


def test_own_call_after_a_wrapped_one_is_seen(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        inner = client.http
        client.http = Passing(inner)
        client.http.get(value_of, PATH)
        inner.get(value_of, PATH)

    assert len(telemetry.spans) == 2
    assert all(span.parent is None for span in telemetry.spans)
