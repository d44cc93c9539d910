"""Section 1: what one healthy `kv.get` costs, with everything on, beside the floor and beside others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.cost import datadog, scenarios
from benchmarks.cost.scenarios import KEY, Scenario
from benchmarks.cost.table import Row
from benchmarks.cost.telemetry import Facts, Providers, async_floor, facts, floor, usual
from benchmarks.cost.timing import Effort, Figures, Variant, measure, nothing, repeat

FLOOR_TARGET = 1.15
REQUESTS_TARGET = 0.65
AIOHTTP_TARGET = 0.75
_NOT_INSTALLED = "opentelemetry-instrumentation-{} is not installed"


def run(effort: Effort) -> list[Row]:
    providers = Providers()
    rows: list[Row] = []
    try:
        with scenarios.loopback() as port:
            known = port if isinstance(port, int) else None
            for scenario in scenarios.sync(known):
                rows += _sync(scenario, effort, providers)
            for scenario in scenarios.asynchronous(known):
                rows += _async(scenario, effort, providers)
            if isinstance(port, str):
                rows.append(Row(1, "real Consul on loopback", None, detail=port))
    finally:
        providers.shutdown()
    return rows + datadog.rows(effort)


def _sync(scenario: Scenario, effort: Effort, providers: Providers) -> list[Row]:
    client = scenario.make()
    plain = scenarios.calls(client)
    plain(2)
    known = facts(plain)
    variants = [
        Variant("bare", plain),
        Variant("floor", repeat(floor(lambda: client.kv.get(KEY), known, providers))),
        Variant("usual", repeat(usual(lambda: client.kv.get(KEY), known, providers))),
        Variant("plugin", plain, providers.plugin),
    ]
    reason = ""
    if scenario.full:
        reason = _other(variants, plain, _requests_instrumentation, providers)
    figures = measure(variants, effort.rounds, _batch(scenario, effort))
    return _rows(scenario, figures, known, "requests", REQUESTS_TARGET, reason)


def _other(variants: list[Variant], plain: Any, instrumentation: Any, providers: Providers) -> str:
    """Add the HTTP library's own instrumentation; why not, if it cannot be."""
    try:
        with instrumentation(providers):
            pass
    except ImportError:
        return _NOT_INSTALLED.format("requests")
    variants.append(Variant("other", plain, lambda: instrumentation(providers)))
    return ""


@contextmanager
def _requests_instrumentation(providers: Providers) -> Iterator[None]:
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    instrumentor = RequestsInstrumentor()
    instrumentor.instrument(tracer_provider=providers.tracer_provider, meter_provider=providers.meter_provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def _async(scenario: Scenario, effort: Effort, providers: Providers) -> list[Row]:
    with scenarios.event_loop() as loop:
        client = loop.run_until_complete(scenario.make())
        clients = [client]
        plain = scenarios.repeat_async(loop, lambda: client.kv.get(KEY))
        plain(2)
        known = facts(plain)
        floored = async_floor(lambda: client.kv.get(KEY), known, providers)
        variants = [
            Variant("bare", plain),
            Variant("floor", scenarios.repeat_async(loop, floored)),
            Variant("plugin", plain, providers.plugin),
        ]
        reason = ""
        if scenario.full:
            try:
                with _aiohttp_instrumentation(providers):  # it sees the sessions made meanwhile, for good
                    other = loop.run_until_complete(scenario.make())
                clients.append(other)
                calls = scenarios.repeat_async(loop, lambda: other.kv.get(KEY))
                variants.append(Variant("other", calls, nothing))
            except ImportError:
                reason = _NOT_INSTALLED.format("aiohttp-client")
        try:
            figures = measure(variants, effort.rounds, _batch(scenario, effort))
        finally:
            for made in clients:
                loop.run_until_complete(made.http.close())
        return _rows(scenario, figures, known, "aiohttp-client", AIOHTTP_TARGET, reason)


@contextmanager
def _aiohttp_instrumentation(providers: Providers) -> Iterator[None]:
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor

    instrumentor = AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=providers.tracer_provider, meter_provider=providers.meter_provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def _batch(scenario: Scenario, effort: Effort) -> int:
    return max(20, effort.batch * scenario.batch // 100)


def _rows(scenario: Scenario, figures: Figures, known: Facts, other: str, target: float, missing: str) -> list[Row]:
    attributes = len(known.start) + len(known.end)
    # The issue sets the targets for a sync `kv.get` and, for asyncio, against aiohttp's instrumentation.
    floor_target = FLOOR_TARGET if scenario.name.startswith("sync") else None
    rows = [
        Row(
            1,
            f"{scenario.name}: plugin / floor",
            figures.ratio("plugin", "floor", "bare"),
            target=floor_target,
            detail=f"{against(figures, 'plugin', 'floor')}; {attributes} attributes",
        )
    ]
    if "usual" in figures.series:
        rows.append(
            Row(
                1,
                f"{scenario.name}: plugin / the floor by usual means",
                figures.ratio("plugin", "usual", "bare"),
                detail=f"{against(figures, 'plugin', 'usual')}; `start_as_current_span`, then `set_attribute` for each",
            )
        )
    if missing:
        rows.append(Row(1, f"{scenario.name}: plugin / {other}", None, detail=missing))
    elif scenario.full:
        rows.append(
            Row(
                1,
                f"{scenario.name}: plugin / {other} instrumentation",
                figures.ratio("plugin", "other", "bare"),
                target=target,
                detail=against(figures, "plugin", "other"),
            )
        )
    return rows


def against(figures: Figures, name: str, other: str, base: str = "bare") -> str:
    """The microseconds behind a ratio."""
    ours, theirs = figures.extra(name, base), figures.extra(other, base)
    wall = figures.ratio(name, other, base, "wall").median
    plain = figures.per_call(base).median
    return f"+{ours.median:.1f} µs against +{theirs.median:.1f} µs on {plain:.0f} µs; wall × {wall:.2f}"
