"""Transports that give something to be awaited, always or at times: one call is one span, whichever way it comes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import SpanProcessor

from otel_consul import semconv
from otel_consul.metrics import definitions
from tests.support.fake_client import OK, observed, value_of
from tests.support.telemetry import Telemetry

PATH = "/v1/kv/a"
TIME = 0.05
"""Seconds the answer takes."""


class Giving:
    """A transport whose verbs are plain functions; what they give is up to `give`."""

    def __init__(self, give: Callable[[Any], Any]) -> None:
        self.give = give

    def get(self, callback: Any, path: str, params: Any = None) -> Any:
        return self.give(callback)


async def later(callback: Any) -> Any:
    await asyncio.sleep(TIME)
    return callback(OK)


class Awaited:
    """Can be awaited, any number of times, and something else."""

    colour = "blue"

    def __init__(self, callback: Any) -> None:
        self.callback = callback

    def __await__(self) -> Generator[Any, Any, Any]:
        return later(self.callback).__await__()


@types.coroutine
def generated(callback: Any) -> Generator[Any, Any, Any]:
    yield from asyncio.sleep(TIME).__await__()
    return callback(OK)


async def awaiting(client: Any) -> Any:
    return await client.http.get(value_of, PATH)


def seconds(telemetry: Telemetry) -> list[float]:
    return [(span.end_time - span.start_time) / 1e9 for span in telemetry.spans if span.end_time and span.start_time]


@pytest.mark.parametrize("give", [later, Awaited, generated])
def test_whatever_can_be_awaited_ends_when_it_has_its_value(
    give: Callable[[Any], Awaitable[Any]], telemetry: Telemetry
) -> None:
    with observed(telemetry) as library:
        client = library.owner()
        client.http = Giving(give)
        assert [asyncio.run(awaiting(client)) for _ in range(2)] == [OK.body] * 2

        assert telemetry.total(definitions.OPERATIONS.name) == 2
        assert telemetry.total(definitions.DURATION.name) == 2
        assert telemetry.total(definitions.ACTIVE.name) == 0
    assert len(telemetry.spans) == 2
    assert min(seconds(telemetry)) >= TIME
    for span in telemetry.spans:
        assert (span.attributes or {})[semconv.KV_KEY] == "a"
        assert (span.attributes or {})[semconv.RESPONSE_INDEX] == 7


def test_awaitable_object_stays_what_it_is(telemetry: Telemetry) -> None:
    async def main(client: Any) -> list[Any]:
        given = client.http.get(value_of, PATH)
        assert isinstance(given, Awaited)
        assert given.colour == "blue"
        return [await given, await given]

    with observed(telemetry) as library:
        client = library.owner()
        client.http = Giving(Awaited)
        assert asyncio.run(main(client)) == [OK.body] * 2
    assert len(telemetry.spans) == 1


def test_generator_stays_a_generator(telemetry: Telemetry) -> None:
    """On Python 3.10 python-consul's callers may be generators, which can yield from generators only."""
    with observed(telemetry) as library:
        client = library.owner()
        client.http = Giving(generated)
        for _ in range(2):
            given = client.http.get(value_of, PATH)
            assert inspect.isgenerator(given)
            assert given.__name__ == "generated"

            def plain(inner: Any = given) -> Generator[Any, Any, Any]:
                return (yield from inner)

            assert asyncio.run(awaited(types.coroutine(plain)())) == OK.body
        client.http.get(value_of, PATH)  # never started
    assert len(telemetry.spans) == 2


async def awaited(awaitable: Any) -> Any:
    return await awaitable


class Started(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[Any] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.spans.append(span)


def test_hook_and_processors_see_each_call_once(telemetry: Telemetry) -> None:
    started = Started()
    telemetry.tracer_provider.add_span_processor(started)
    asked: list[Any] = []

    def hook(span: Any, call: Any) -> None:
        span.set_attribute("test.hook", "seen")
        asked.append(call)

    async def within() -> None:
        async with asyncio.timeout(10) if hasattr(asyncio, "timeout") else asyncio.Lock():
            await awaiting(client)

    with observed(telemetry, request_hook=hook) as library:
        client = library.owner()
        client.http = Giving(later)
        asyncio.run(within())
        asyncio.run(within())

    assert len(asked) == len(started.spans) == len(telemetry.spans) == 2
    assert all((span.attributes or {})["test.hook"] == "seen" for span in telemetry.spans)


def test_value_from_a_lazy_transport_is_a_call(telemetry: Telemetry) -> None:
    """From a cache, say, or of a test's double."""
    gives: list[Any] = [later, lambda callback: callback(OK), lambda _: ("7", None), later]

    async def main(client: Any) -> None:
        for give in gives:
            client.http.give = give
            value = client.http.get(value_of, PATH)
            assert (await value if inspect.isawaitable(value) else value) in (OK.body, ("7", None))

    with observed(telemetry) as library:
        client = library.owner()
        client.http = Giving(later)
        asyncio.run(main(client))
        with suppress_instrumentation():
            client.http.give = gives[1]
            assert client.http.get(value_of, PATH) == OK.body

    assert [(span.attributes or {})[semconv.OUTCOME] for span in telemetry.spans] == ["ok"] * 4
    assert telemetry.total(definitions.DURATION.name) == 4


def test_future_from_a_lazy_transport_stays_a_future(telemetry: Telemetry) -> None:
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    with observed(telemetry) as library:
        client = library.owner()
        client.http = Giving(later)
        asyncio.run(awaiting(client))
        telemetry.clear()
        client.http.give = lambda _: future
        assert client.http.get(value_of, PATH) is future
        assert telemetry.spans == []
        future.set_result(1)
    assert len(telemetry.spans) == 1


def test_lazy_verb_that_raises_at_once_is_a_failed_call(telemetry: Telemetry) -> None:
    prepared = ValueError("prepared")

    def fail(_: Any) -> Any:
        raise prepared

    with observed(telemetry) as library:
        client = library.owner()
        client.http = Giving(later)
        asyncio.run(awaiting(client))
        telemetry.clear()
        client.http.give = fail
        with pytest.raises(ValueError, match="prepared") as caught:
            client.http.get(value_of, PATH)

        assert caught.value is prepared
        assert (telemetry.span.attributes or {})[semconv.ERROR_TYPE] == "ValueError"
        assert telemetry.total(definitions.ACTIVE.name) == 0


def test_first_step_decides_whether_it_is_suppressed(telemetry: Telemetry) -> None:
    async def main(client: Any) -> None:
        created = client.http.get(value_of, PATH)
        with suppress_instrumentation():
            assert await created == OK.body
        assert telemetry.spans == []
        with suppress_instrumentation():
            created = client.http.get(value_of, PATH)
        assert await created == OK.body
        assert len(telemetry.spans) == 1

    async def work() -> Any:
        return OK

    with observed(telemetry) as library:
        asyncio.run(main(library.client(work, lazy=True)))
        assert telemetry.total(definitions.OPERATIONS.name) == 1


def test_coroutine_made_before_the_plugin_is_off_is_not_observed_after(telemetry: Telemetry) -> None:
    async def work() -> Any:
        return OK

    with observed(telemetry) as library:
        created = library.client(work, lazy=True).http.get(value_of, PATH)

    assert asyncio.run(awaited(created)) == OK.body
    assert telemetry.spans == []
