"""Hooks see a call before and after; what they raise, do and start is no part of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.context import get_current

from otel_consul import guard, semconv
from otel_consul.metrics import definitions
from otel_consul.phases import CURRENT
from tests.support.fake_client import OK, Response, observed, value_of
from tests.support.telemetry import Telemetry

PATH = "/v1/kv/a"


def raising(error: BaseException) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        raise error

    return hook


def call(client: Any, *, lazy: bool) -> Any:
    async def main() -> Any:
        return await client.http.get(value_of, PATH)

    return asyncio.run(main()) if lazy else client.http.get(value_of, PATH)


def work_of(lazy: bool, sent: list[str]) -> Callable[[], Any]:
    def work() -> Any:
        sent.append(PATH)
        return OK

    async def later() -> Any:
        return work()

    return later if lazy else work


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("hook", ["request_hook", "response_hook"])
@pytest.mark.parametrize("error", [ValueError(), SystemExit(3), asyncio.CancelledError()], ids=repr)
def test_what_a_hook_raises_is_logged_once(
    lazy: bool, hook: str, error: BaseException, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[str] = []
    before = get_current()
    with observed(telemetry, **{hook: raising(error)}) as library:
        client = library.client(work_of(lazy, sent), lazy=lazy)
        with caplog.at_level(logging.WARNING, "otel_consul"):
            assert [call(client, lazy=lazy) for _ in range(2)] == [OK.body] * 2
        assert telemetry.total(definitions.ACTIVE.name) == 0

    assert sent == [PATH] * 2
    assert get_current() == before
    assert len(telemetry.spans) == 2
    assert telemetry.total(definitions.DURATION.name) == 2
    assert len([record for record in caplog.records if hook in record.getMessage()]) == 1


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("hook", ["request_hook", "response_hook"])
def test_interrupt_in_a_hook_is_the_programs(lazy: bool, hook: str, telemetry: Telemetry) -> None:
    """Ctrl-C may come at any time. Nothing is left of the call by then."""
    sent: list[str] = []
    before = get_current()
    with observed(telemetry, **{hook: raising(KeyboardInterrupt())}) as library:
        client = library.client(work_of(lazy, sent), lazy=lazy)
        with pytest.raises(KeyboardInterrupt):
            call(client, lazy=lazy)
        assert telemetry.total(definitions.ACTIVE.name) == 0

    assert get_current() == before
    assert CURRENT.get() is None
    assert len(sent) == (hook == "response_hook")
    outcome = semconv.Outcome.OK if hook == "response_hook" else semconv.Outcome.CANCELLED
    assert (telemetry.span.attributes or {})[semconv.OUTCOME] == outcome
    assert telemetry.total(definitions.DURATION.name, **{semconv.OUTCOME: outcome}) == 1


@pytest.mark.parametrize("lazy", [False, True])
def test_response_hook_sees_no_answer_after_an_exception(lazy: bool, telemetry: Telemetry) -> None:
    seen: list[Any] = []

    def refuse(_: Response) -> Any:
        raise ValueError("refused")

    async def main(client: Any) -> None:
        await client.http.get(refuse, PATH)

    with observed(telemetry, response_hook=lambda _span, _call, response: seen.append(response)) as library:
        client = library.client(work_of(lazy, []), lazy=lazy)
        with pytest.raises(ValueError, match="refused"):
            asyncio.run(main(client)) if lazy else client.http.get(refuse, PATH)
        call(client, lazy=lazy)

    assert [response and response.status for response in seen] == [None, 200]
    refused = dict(telemetry.spans[0].attributes or {})
    assert refused[semconv.HTTP_RESPONSE_STATUS_CODE] == 200


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("hook", ["request_hook", "response_hook"])
def test_http_of_a_hook_is_no_part_of_the_call(lazy: bool, hook: str, telemetry: Telemetry) -> None:
    """Neither what the hook sends itself, nor what it starts with a copy of the context."""
    clocks: list[Any] = []
    with observed(telemetry, **{hook: lambda *_: clocks.append(CURRENT.get())}) as library:

        def outer() -> Any:
            call(library.client(), lazy=False)
            return OK

        async def later() -> Any:
            return outer()

        call(library.client(later if lazy else outer, lazy=lazy), lazy=lazy)

    assert len(clocks) == 2
    if hook == "request_hook":
        assert clocks == [None, None]
    else:
        assert not any(clock.running for clock in clocks)


class Boom:
    """Part of an SDK that fails."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.tracer = telemetry.tracer_provider.get_tracer("otel_consul")

    def start_span(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("boom")


@pytest.mark.parametrize("settings", [{}, {"blocking_spans": "errors"}])
def test_span_that_cannot_start_loses_no_point(
    settings: dict[str, Any], telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "strict", False)
    tracer: Any = Boom(telemetry)
    during: list[Any] = []
    outer = telemetry.tracer_provider.get_tracer("test").start_as_current_span("outer")

    def work() -> Any:
        during.append(get_current())
        return Response(500, {}, "")

    with outer, observed(telemetry, tracer, **settings) as library:
        before = get_current()
        assert not library.client(work).http.get(value_of, PATH, [("index", "5")])
        assert get_current() == before
        assert telemetry.total(definitions.ACTIVE.name) == 0

    assert during == [before]  # spans of the HTTP library's go to the caller's
    assert telemetry.total(definitions.DURATION.name, **{semconv.OUTCOME: "error"}) == 1
    assert len(caplog.records) == 1
