"""Whoever waits for a call goes to the garbage, at any moment: also while this thread holds a lock of the SDK's."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import consul
import consul.aio
import pytest
from opentelemetry.sdk.trace import SpanProcessor

from otel_consul import open_calls, semconv
from testbed.stub_agent import StubAgent
from tests.support.stalls import eventually
from tests.support.telemetry import Telemetry, events


class Collects(SpanProcessor):
    """As the SDK's own processors, with a lock that spans must wait for. Garbage is collected while it is held."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.armed = False
        self.stuck = 0

    def on_end(self, span: Any) -> None:
        if not self.lock.acquire(timeout=2):
            self.stuck += 1  # this very thread holds it
            return
        try:
            if self.armed:
                self.armed = False
                gc.collect()
        finally:
            self.lock.release()


@pytest.fixture
def processor(telemetry: Telemetry) -> Iterator[Collects]:
    processor = Collects()
    telemetry.tracer_provider.add_span_processor(processor)
    gc.disable()  # garbage is to be found at one moment only
    yield processor
    gc.enable()


class Cycle:
    """Keeps something alive until garbage is collected."""

    def __init__(self, kept: Any) -> None:
        self.kept, self.me = kept, self


def drop_a_coroutine(agent: StubAgent) -> None:
    """Leave a coroutine as garbage that has begun its call and has not ended."""
    loop = asyncio.new_event_loop()

    async def start() -> Any:
        client = consul.aio.Consul(port=agent.port)
        coroutine = client.kv.get("hang")
        coroutine.send(None)  # as a framework of its own would
        Cycle((coroutine, client))

    loop.run_until_complete(start())
    loop.close()


class Futures:
    """A transport whose calls give futures, as tornado's."""

    base_uri = "http://127.0.0.1:8500"

    def get(self, callback: Any, path: str, params: Any = None, **options: Any) -> Any:
        loop = asyncio.new_event_loop()
        loop.close()
        return asyncio.Future(loop=loop)


def drop_a_future(agent: StubAgent) -> None:
    client = consul.Consul(port=agent.port)
    client.http = Futures()
    Cycle(client.kv.get("hang"))


@pytest.mark.parametrize("settings", [{}, {"stall_threshold": 0, "local_delay": False}], ids=["default", "no thread"])
@pytest.mark.parametrize("drop", [drop_a_coroutine, drop_a_future])
@pytest.mark.filterwarnings("ignore")
def test_a_call_in_the_garbage_ends_without_a_lock_of_that_thread(
    drop: Any, settings: dict[str, Any], processor: Collects, telemetry: Telemetry, stub: StubAgent
) -> None:
    stub.fault("/v1/kv/hang", stop="hang")
    telemetry.instrument(**settings)
    drop(stub)
    eventually(lambda: len(open_calls()) == 1)
    before = time.perf_counter()
    processor.armed = True
    consul.Consul(port=stub.port).catalog.nodes()
    assert time.perf_counter() - before < 1
    assert open_calls() == []
    eventually(lambda: len(telemetry.spans) == 2)
    assert processor.stuck == 0
    (span,) = (span for span in telemetry.spans if span.name == "kv.get")
    assert dict(span.attributes or {})[semconv.OUTCOME] == "abandoned"
    assert "consul.abandoned" in events(span)


@pytest.mark.filterwarnings("ignore")
def test_one_dropped_at_the_last_moment_is_told_of(telemetry: Telemetry, stub: StubAgent) -> None:
    telemetry.instrument()
    drop_a_future(stub)
    gc.collect()
    telemetry.uninstrument()
    assert [dict(span.attributes or {})[semconv.OUTCOME] for span in telemetry.spans] == ["abandoned"]
