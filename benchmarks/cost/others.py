"""Section 5: HTTP calls that are not Consul's, with the plugin on and off."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.cost import memory, memory_async, scenarios
from benchmarks.cost.table import Row
from benchmarks.cost.telemetry import Providers
from benchmarks.cost.timing import Effort, Variant, measure, repeat

TARGET = 1.0
URL = "http://example.org/some/page"


def run(effort: Effort) -> list[Row]:
    providers = Providers()
    session, pools = memory.session(), memory.pool_manager()
    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(memory_async.session())

    async def get() -> None:
        async with client.get(URL) as answer:
            await answer.read()

    def pooled() -> Any:
        return pools.request("GET", URL, retries=False)

    try:
        return [
            _row(name, run, effort, providers)
            for name, run in {
                "requests": repeat(lambda: session.get(URL)),
                "urllib3": repeat(pooled),
                "aiohttp": scenarios.repeat_async(loop, get),
            }.items()
        ]
    finally:
        loop.run_until_complete(client.close())
        loop.close()
        providers.shutdown()


def _row(name: str, run: Any, effort: Effort, providers: Providers) -> Row:
    run(50)
    # A microsecond in hundreds: many rounds, small batches.
    figures = measure(
        [Variant("off", run), Variant("on", run, providers.plugin)],
        effort.rounds * (3 if effort.quick else 8),
        effort.batch // 4,
    )
    plain = figures.per_call("off").median
    return Row(5, f"{name}, not Consul's: extra", figures.extra("on", "off"), "µs", TARGET, f"on {plain:.0f} µs")
