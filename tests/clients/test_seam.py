"""The descriptor and the proxy: to its user, the transport object itself."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import inspect
import pickle
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_consul import semconv
from otel_consul.clients.seam import TransportProxy
from otel_consul.metrics import definitions
from otel_consul.semconv import Outcome
from tests.support.fake_client import OK, Response, Transport, observed, value_of
from tests.support.stalls import eventually
from tests.support.telemetry import Telemetry, events


class Picklable(Transport):
    def __init__(self) -> None:
        super().__init__(dict)
        self.base_uri = "http://127.0.0.1:8500"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Picklable)

    __hash__ = None  # type: ignore[assignment]


def test_proxy_is_the_object(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        transport = vars(client)["http"]

        assert client.http is client.http
        assert isinstance(client.http, Transport)
        assert client.http == transport
        client.http.extra = 5
        assert transport.extra == 5
        assert type(transport) is Transport
        client.http = client.http  # a proxy is never stored
        assert vars(client)["http"] is transport
        del client.http
        with pytest.raises(AttributeError, match="http"):
            _ = client.http
        with pytest.raises(AttributeError):
            del client.http
        assert not hasattr(library.owner, "http")


def test_copies_and_pickles_are_the_objects(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        client.http = Picklable()

        for made in (copy.copy(client.http), copy.deepcopy(client.http), pickle.loads(pickle.dumps(client.http))):
            assert type(made) is Picklable
        other = copy.copy(client)
        assert vars(other)["http"] is vars(client)["http"]
        assert other.http is client.http
        other.http = Picklable()
        assert vars(other)["http"] is not vars(client)["http"]
        for made in (copy.deepcopy(client), other):
            assert isinstance(made.http, TransportProxy)
            assert made.http is made.http
            assert made.http is not client.http


def test_transport_replaced_by_the_user_is_seen(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        client.http.get(value_of, "/v1/kv/a")
        client.http = Transport(lambda: Response(404, {}, ""))
        client.http.get(value_of, "/v1/kv/a")
        vars(client)["http"] = Transport(lambda: Response(500, {}, ""))  # behind the descriptor's back
        client.http.get(value_of, "/v1/kv/a")
        client.http = None
        assert client.http is None

    outcomes = [(span.attributes or {})[semconv.OUTCOME] for span in telemetry.spans]
    assert outcomes == [Outcome.OK, Outcome.NOT_FOUND, Outcome.ERROR]


def test_arguments_pass_as_they_are(telemetry: Telemetry) -> None:
    seen: list[Any] = []

    class Recording(Transport):
        def put(self, *args: Any, **kwargs: Any) -> Any:
            seen.append((args, kwargs))
            return "value"

    with observed(telemetry) as library:
        client = library.client()
        client.http = Recording()
        params, data = [("a", "b")], object()
        # no callback is called, and it may be given by name or be none
        assert client.http.put(value_of, "/v1/kv/a", params, data=data, headers={"x": "y"}) == "value"
        assert client.http.put(None, "/v1/kv/a") == "value"

    (args, kwargs), (bare, _) = seen
    assert args[1:] == ("/v1/kv/a", params)
    assert args[2] is params
    assert kwargs == {"data": data, "headers": {"x": "y"}}
    assert bare == (None, "/v1/kv/a")
    assert len(telemetry.spans) == 2


class CountingSpan(NonRecordingSpan):
    def __init__(self) -> None:
        super().__init__(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(0)))
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in ("set_attribute", "set_attributes", "add_event", "set_status", "record_exception", "update_name"):
            object.__getattribute__(self, "calls").append(name)
        return super().__getattribute__(name)


class CountingTracer:
    def __init__(self) -> None:
        self.spans: list[CountingSpan] = []

    def start_span(self, *args: Any, **kwargs: Any) -> CountingSpan:
        self.spans.append(CountingSpan())
        return self.spans[-1]


def raise_timeout() -> Any:
    raise TimeoutError


@pytest.mark.parametrize("work", [lambda: OK, lambda: Response(500, {}, "no"), raise_timeout])
def test_span_that_does_not_record_costs_no_attributes(work: Any, telemetry: Telemetry) -> None:
    tracer: Any = CountingTracer()
    with observed(telemetry, tracer, phases=True) as library:
        with contextlib.suppress(TimeoutError):
            library.client(work).http.get(value_of, "/v1/kv/a")
        (span,) = tracer.spans
        assert span.calls == []
        assert telemetry.total(definitions.DURATION.name) == 1


def test_response_hook_of_a_span_that_does_not_record(telemetry: Telemetry) -> None:
    """Hooks are told of every call the contract promises them: before the span ends."""
    asked: list[Any] = []
    tracer: Any = CountingTracer()
    with observed(telemetry, tracer, request_hook=lambda *args: asked.append(args)) as library:
        library.client().http.get(value_of, "/v1/kv/a")
    assert len(asked) == 1


def test_closed_coroutine_is_abandoned(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    async def forever() -> Any:
        await asyncio.sleep(3600)

    async def step(coroutine: Any) -> None:
        task = asyncio.ensure_future(asyncio.sleep(0))
        coroutine.send(None)
        await task

    with observed(telemetry) as library:
        coroutine = library.client(forever, lazy=True).http.get(value_of, "/v1/kv/a")
        assert inspect.iscoroutine(coroutine)
        asyncio.run(step(coroutine))
        assert telemetry.total(definitions.ACTIVE.name) == 1

        coroutine.close()  # GeneratorExit, outside any loop

        assert telemetry.total(definitions.ACTIVE.name) == 0
        eventually(lambda: telemetry.spans)  # by the background thread
        assert (telemetry.span.attributes or {})[semconv.OUTCOME] == Outcome.ABANDONED
        assert set(events(telemetry.span)) == {semconv.EVENT_ABANDONED}
        assert not trace.get_current_span().get_span_context().is_valid
        assert not caplog.records  # OpenTelemetry logs a context given back in the wrong place


def test_dropped_coroutine_is_abandoned(telemetry: Telemetry) -> None:
    async def forever() -> Any:
        await asyncio.get_running_loop().create_future()

    async def start_and_drop(client: Any) -> None:
        client.http.get(value_of, "/v1/kv/a").send(None)

    with observed(telemetry) as library:
        asyncio.run(start_and_drop(library.client(forever, lazy=True)))
        gc.collect()
        eventually(lambda: telemetry.spans)
        assert (telemetry.span.attributes or {})[semconv.OUTCOME] == Outcome.ABANDONED
        assert telemetry.total(definitions.ACTIVE.name) == 0


def test_expired_deadline_is_a_timeout_with_its_event(telemetry: Telemetry) -> None:
    async def forever() -> Any:
        await asyncio.get_running_loop().create_future()

    async def wait(client: Any) -> None:
        await asyncio.wait_for(asyncio.gather(client.http.get(value_of, "/v1/kv/a")), 0.02)

    with observed(telemetry) as library, pytest.raises(asyncio.TimeoutError):
        asyncio.run(wait(library.client(forever, lazy=True)))

    attributes, seen = dict(telemetry.span.attributes or {}), events(telemetry.span)
    assert (attributes[semconv.OUTCOME], attributes[semconv.ERROR_TYPE]) == (Outcome.TIMEOUT, "TimeoutError")
    assert seen[semconv.EVENT_TIMEOUT][semconv.TIMEOUT_KIND] == semconv.TimeoutKind.DEADLINE
    assert seen[semconv.EVENT_CANCELLED][semconv.CANCEL_REASON] == semconv.CancelReason.DEADLINE
    assert telemetry.total(definitions.DURATION.name, **{semconv.OUTCOME: Outcome.TIMEOUT}) == 1
