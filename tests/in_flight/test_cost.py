"""What an open call takes of memory, printed with -s. What watching 10,000 of them costs is in benchmarks/cost."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import consul
import consul.aio
import pytest
from opentelemetry import trace

from tests.support.telemetry import Telemetry

COUNT = 10_000
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Waiting(consul.aio.HTTPClient):
    """Takes calls and answers when told."""

    answer: asyncio.Event

    async def _request(self, callback: Any, *args: Any, **options: Any) -> Any:
        await self.answer.wait()
        return callback(consul.base.Response(200, {"X-Consul-Index": "5"}, "[]"))


class Client(consul.base.Consul):
    def http_connect(self, *args: Any, **options: Any) -> Any:
        return Waiting(*args, **options)


async def size_of_one(call: Any) -> float:
    """Bytes of each of COUNT open calls."""
    client = Client()
    Waiting.answer = asyncio.Event()
    tasks = [asyncio.create_task(call(client)) for _ in range(10)]  # what is made once is not theirs
    await asyncio.sleep(0.05)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks += [asyncio.create_task(call(client)) for _ in range(COUNT)]
    await asyncio.sleep(0.2)
    gc.collect()
    size = (tracemalloc.get_traced_memory()[0] - before) / COUNT
    tracemalloc.stop()
    Waiting.answer.set()
    await asyncio.gather(*tasks)
    await client.http.close()
    return size


async def plain(client: Any) -> Any:
    return await client.kv.get("key")


def test_an_open_asyncio_call_takes_under_2_kib_beyond_its_span(telemetry: Telemetry) -> None:
    telemetry.instrument()
    observed = asyncio.run(size_of_one(plain))
    attributes = dict(telemetry.spans[0].attributes or {})
    started_with = {
        name: attributes[name] for name in attributes if not name.startswith(("consul.phase", "consul.outc"))
    }
    telemetry.uninstrument()
    tracer = telemetry.tracer_provider.get_tracer("test")

    async def with_bare_span(client: Any) -> Any:
        span = tracer.start_span("kv.get", attributes=started_with)
        with trace.use_span(span, end_on_exit=True):
            return await client.kv.get("key")

    bare = asyncio.run(size_of_one(with_bare_span))
    print(f"\n{observed - bare:.0f} bytes beyond the span and the call itself")  # noqa: T201
    assert observed - bare < 2048
