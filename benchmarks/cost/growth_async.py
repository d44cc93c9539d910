"""Section 3, asyncio: many calls open at once."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry.trace import SpanKind

from benchmarks.cost import memory_async, scenarios
from benchmarks.cost.scenarios import KEY
from benchmarks.cost.table import Row
from benchmarks.cost.telemetry import Providers, facts
from benchmarks.cost.timing import Effort, Figures, Spread, Variant, measure, nothing, spread

TIME_TARGET = 1.3
BYTES_TARGET = 2048
MANY = 10_000
State = Callable[[], AbstractContextManager[object]]


def run(effort: Effort, providers: Providers) -> list[Row]:
    rows = []
    with scenarios.event_loop() as loop:
        client = loop.run_until_complete(memory_async.client())
        try:
            rows += _time_per_call(effort, providers, loop, client)
            rows.append(_bytes_per_call(effort, providers, loop, client))
            rows += _watching(effort, providers, loop, client)
        finally:
            loop.run_until_complete(client.http.close())
    return rows


@contextmanager
def open_calls(loop: asyncio.AbstractEventLoop, client: Any, count: int) -> Iterator[None]:
    """So many calls that wait for their answer meanwhile."""
    http = vars(client)["http"]

    async def start() -> list[asyncio.Task[Any]]:
        http.waits = asyncio.Event()
        tasks = [asyncio.ensure_future(client.kv.get("held")) for _ in range(count)]
        await asyncio.sleep(0)
        return tasks

    async def end() -> None:
        http.waits.set()
        await asyncio.gather(*tasks)

    tasks = loop.run_until_complete(start())
    try:
        yield
    finally:
        loop.run_until_complete(end())
        http.waits = None
        tasks.clear()


def _time_per_call(effort: Effort, providers: Providers, loop: asyncio.AbstractEventLoop, client: Any) -> list[Row]:
    counts = (1, 100) if effort.quick else (1, 100, MANY)
    run = scenarios.repeat_async(loop, lambda: client.kv.get(KEY))

    def state(count: int, on: State) -> State:
        @contextmanager
        def within() -> Iterator[None]:
            with on(), open_calls(loop, client, count):
                yield

        return within

    variants = [
        Variant(f"{name} {count}", run, state(count, on))
        for count in counts
        for name, on in (("off", nothing), ("on", providers.plugin))
    ]
    figures = measure(variants, 3 if effort.quick else 15, effort.batch)
    return [
        Row(
            3,
            f"{count:,} open asyncio calls: time per call / that at 1",
            figures.ratio(f"on {count}", "on 1"),
            target=TIME_TARGET if count == counts[-1] else None,
            detail=_per_call(figures, count),
        )
        for count in counts[1:]
    ]


def _per_call(figures: Figures, count: int) -> str:
    on, one = figures.per_call(f"on {count}"), figures.per_call("on 1")
    off, off_one = figures.per_call(f"off {count}"), figures.per_call("off 1")
    return f"{on.median:.1f} µs against {one.median:.1f} µs; plugin off {off.median:.1f} against {off_one.median:.1f}"


# --- memory ----------------------------------------------------------------------------------------------------------


def _bytes_per_call(effort: Effort, providers: Providers, loop: asyncio.AbstractEventLoop, client: Any) -> Row:
    count = 1000 if effort.quick else MANY
    known = facts(scenarios.repeat_async(loop, lambda: client.kv.get("held")))
    tracer = providers.tracer

    def spans() -> AbstractContextManager[object]:
        return nullcontext([tracer.start_span(known.name, None, SpanKind.CLIENT, known.start) for _ in range(count)])

    def calls() -> AbstractContextManager[object]:
        return open_calls(loop, client, count)

    span = _held(spans) / count
    off = _held(calls) / count
    with providers.plugin():
        calls_on = open_calls(loop, client, 10)
        with calls_on:
            pass
        on = _held(calls) / count
    beyond = on - off - span
    detail = f"{count:,} open: {on:,.0f} B each with the plugin, {off:,.0f} B without; an SDK span {span:,.0f} B"
    return Row(
        3, "memory of an open call beyond its SDK span", Spread(beyond, beyond, beyond), "B", BYTES_TARGET, detail
    )


def _held(make: Callable[[], AbstractContextManager[object]]) -> float:
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        with make():
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


# --- the monitor and the sampler -----------------------------------------------------------------------------------


def _watching(effort: Effort, providers: Providers, loop: asyncio.AbstractEventLoop, client: Any) -> list[Row]:
    count = 1000 if effort.quick else MANY
    seconds = 0.5 if effort.quick else 3.0

    def share(times: int, **options: Any) -> Spread:
        values = []
        for _ in range(times):
            with providers.plugin(**options), open_calls(loop, client, count):
                loop.run_until_complete(asyncio.sleep(min(1.0, seconds)))  # until what is new has been looked at
                values.append(_share(loop, asyncio.sleep(seconds), seconds))
        return spread(values)

    with open_calls(loop, client, count):
        off = _share(loop, asyncio.sleep(seconds), seconds)
    times = 1 if effort.quick else 3
    detail = f"of one processor, {seconds:.1f} s; without the plugin {off:.2f} %"
    return [
        Row(3, f"{count:,} calls open, none stalled: watching them", share(times), "%", detail=detail),
        Row(
            3,
            f"{count:,} calls open, all stalled: watching them",
            share(times, stall_threshold=0.2),
            "%",
            detail=detail,
        ),
    ]


def _share(loop: asyncio.AbstractEventLoop, waiting: Awaitable[None], seconds: float) -> float:
    async def wait() -> None:
        await waiting

    before = time.process_time()
    loop.run_until_complete(wait())
    return (time.process_time() - before) / seconds * 100
