"""Section 2: what a call costs in each state the plugin can be in. Sync, the client's transport object answers."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from benchmarks.cost import memory, scenarios, startup
from benchmarks.cost.percall import FLOOR_TARGET
from benchmarks.cost.scenarios import KEY
from benchmarks.cost.table import Row
from benchmarks.cost.telemetry import Providers, facts, floor, plugin
from benchmarks.cost.timing import Effort, Figures, Spread, Variant, measure, repeat

OFF_TARGET = 0.15
SILENT_TARGET = 2.0
State = Callable[[], AbstractContextManager[object]]


def states(providers: Providers, unsampled: Providers) -> dict[str, State]:
    """By name; `--profile` takes these names."""
    return {
        "everything": providers.plugin,
        "phases-off": lambda: providers.plugin(phases=False),
        "local-delay-off": lambda: providers.plugin(local_delay=False),
        "not-sampled": unsampled.plugin,
        "no-sdk": plugin,
        "suppressed": lambda: _suppressed(providers),
        "excluded": lambda: providers.plugin(excluded_operations="kv.*"),
    }


@contextmanager
def _suppressed(providers: Providers) -> Iterator[None]:
    with providers.plugin(), suppress_instrumentation():
        yield


def run(effort: Effort) -> list[Row]:
    providers, unsampled = Providers(), Providers(ALWAYS_OFF)
    client = memory.client()
    plain = scenarios.calls(client)
    known = facts(plain)
    record, point = providers.histogram().record, known.point

    def recorded() -> None:
        client.kv.get(KEY)
        record(known.seconds, point)

    unsampled_floor = floor(lambda: client.kv.get(KEY), known, unsampled)
    before = footprint()
    variants = [
        Variant("bare", plain),
        Variant("floor", repeat(floor(lambda: client.kv.get(KEY), known, providers))),
        Variant("record", repeat(recorded)),
        Variant("unsampled floor", repeat(unsampled_floor)),
        *(Variant(name, plain, state) for name, state in states(providers, unsampled).items()),
        Variant("uninstrumented", plain),
    ]
    try:
        figures = measure(variants, effort.rounds, effort.batch)
    finally:
        providers.shutdown()
        unsampled.shutdown()
    left = [name for name, value in footprint().items() if value is not before[name]]
    return [startup.not_applied(effort), *_rows(figures), _uninstrumented(figures, left)]


def _rows(figures: Figures) -> list[Row]:
    def over_floor(name: str, what: str, target: float | None = None) -> Row:
        extra, least = figures.extra(name, "bare").median, figures.extra("floor", "bare").median
        detail = f"+{extra:.1f} µs against +{least:.1f} µs"
        return Row(2, what, figures.ratio(name, "floor", "bare"), target=target, detail=detail)

    def off(name: str, what: str, *, metric: bool = True, target: float | None = OFF_TARGET) -> Row:
        extra = figures.extra(name, "bare")
        own = figures.extra("record", "bare").median if metric else 0.0
        least = figures.extra("floor", "bare").median
        share = Spread(*((value - own) / least for value in extra))
        detail = f"+{extra.median:.1f} µs, {own:.1f} of it the metric's own cost; floor +{least:.1f} µs"
        return Row(2, what, share, target=target, detail=detail)

    def silent(name: str, what: str) -> Row:
        return Row(2, f"{what}: extra", figures.extra(name, "bare"), "µs", SILENT_TARGET)

    return [
        off("no-sdk", "applied without an SDK: plugin / floor", metric=False),
        off("not-sampled", "not sampled: (plugin - metric) / floor"),
        off("unsampled floor", "not sampled, the SDK alone: (floor - metric) / floor", target=None),
        over_floor("everything", "everything on: plugin / floor", FLOOR_TARGET),
        over_floor("phases-off", "phases off: plugin / floor of everything"),
        over_floor("local-delay-off", "local delay off: plugin / floor of everything"),
        silent("suppressed", "suppressed"),
        silent("excluded", "excluded operation"),
    ]


def _uninstrumented(figures: Figures, left: list[str]) -> Row:
    detail = f"left behind: {', '.join(left)}" if left else "every function is the same object as before; no descriptor"
    # Batches of the same code differ by a few per cent; what decides is that nothing is left.
    target = 0.0 if left else 1.02
    return Row(
        2,
        "after uninstrument: call / call before",
        figures.ratio("uninstrumented", "bare"),
        target=target,
        detail=detail,
    )


def footprint() -> dict[str, Any]:
    """Everything the plugin may touch, as it is now: by name, the very objects."""
    from otel_consul.instrumentor import _clients
    from otel_consul.transports.aiohttp import signals as aiohttp_signals
    from otel_consul.transports.urllib3 import signals as urllib3_signals

    found: dict[str, Any] = {}
    for client in _clients:
        module = sys.modules.get(client.module)
        if module is not None:
            name = f"{client.module}.{client.owner}.{client.attribute}"
            found[name] = vars(getattr(module, client.owner)).get(client.attribute)
    for signals in (aiohttp_signals.SIGNALS, urllib3_signals.SIGNALS):
        for wrap in signals._wraps:
            module = sys.modules.get(wrap.module)
            path, _, name = wrap.name.rpartition(".")
            owner = getattr(module, path, None) if path else module
            if owner is not None:
                found[f"{wrap.module}.{wrap.name}"] = vars(owner).get(name)
    import asyncio

    timeout = getattr(asyncio, "Timeout", None)
    for name in ("__aenter__", "__aexit__", "_on_timeout") if timeout is not None else ():
        found[f"asyncio.Timeout.{name}"] = vars(timeout).get(name)
    found["asyncio.tasks._cancel_and_wait"] = getattr(asyncio.tasks, "_cancel_and_wait", None)
    for callback in gc.callbacks:
        found[f"gc.callbacks {getattr(callback, '__qualname__', callback)}"] = callback
    return _Found(found)


class _Found(dict[str, Any]):
    """What was not there at all is None."""

    def __missing__(self, key: str) -> None:
        return None


@contextmanager
def state(name: str) -> Iterator[Callable[[int], None]]:
    """One state, for `--profile`: gives the calls."""
    with ExitStack() as stack:
        providers, unsampled = Providers(), Providers(ALWAYS_OFF)
        stack.callback(providers.shutdown)
        stack.callback(unsampled.shutdown)
        calls = scenarios.calls(memory.client())
        stack.enter_context(states(providers, unsampled)[name]())
        yield calls
