"""Section 3: threads, distinct operations and keys, many calls, collection."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cost import growth_async, memory
from benchmarks.cost.scenarios import KEY
from benchmarks.cost.table import Row
from benchmarks.cost.telemetry import Providers
from benchmarks.cost.timing import Effort, Spread, Variant, measure, nothing, repeat, spread

ROOT = Path(__file__).parents[2]
THREADS = (1, 4, 16, 64)
DISTINCT = (1, 200)
HOUR = 3_600_000
"""Calls: a thousand a second."""
# "No worse than the uninstrumented client's": equal things differ by a few per cent here.
SLOPE_TARGET = 1.05


def run(effort: Effort) -> list[Row]:
    providers = Providers()
    try:
        rows = [*_threads(effort, providers), *_distinct(effort, providers), *growth_async.run(effort, providers)]
        return [*rows, *_many(effort), *_collection(effort)]
    finally:
        providers.shutdown()


# --- threads ----------------------------------------------------------------------------------------------------------


def _threads(effort: Effort, providers: Providers) -> list[Row]:
    client = memory.requests_client()
    calls = repeat(lambda: client.kv.get(KEY))
    batch = effort.batch if effort.quick else effort.batch * 2
    counts = (THREADS[0], THREADS[-1]) if effort.quick else THREADS
    variants = [
        Variant(f"{state} {count}", _with_threads(calls, count), within)
        for count in counts
        for state, within in (("off", nothing), ("on", providers.plugin))
    ]
    figures = measure(variants, max(3, effort.rounds // 3), batch, cpu=time.process_time, warm_up=64)
    rows = []
    for count in counts[1:]:
        slopes = [
            (on / on_1) / (off / off_1)
            for on, on_1, off, off_1 in zip(
                *(figures.series[name].wall for name in (f"on {count}", "on 1", f"off {count}", "off 1")), strict=True
            )
        ]
        on = figures.per_call(f"on {count}", "wall").median / figures.per_call("on 1", "wall").median
        off = figures.per_call(f"off {count}", "wall").median / figures.per_call("off 1", "wall").median
        detail = f"wall per call, {count} threads / 1: on {on:.2f}, off {off:.2f}"
        target = SLOPE_TARGET if count == counts[-1] else None
        rows.append(Row(3, f"{count} threads: slope on / slope off", spread(slopes), target=target, detail=detail))
    return rows


def _with_threads(calls: Callable[[int], None], count: int) -> Callable[[int], None]:
    def run(times: int) -> None:
        threads = [threading.Thread(target=calls, args=(max(1, times // count),)) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return run


# --- distinct operations and keys ---------------------------------------------------------------------------------


def paths(count: int) -> list[str]:
    """Paths of reads of so many operations (as many as there are)."""
    from otel_consul.consul_api.endpoints import ROWS

    reads = dict.fromkeys(row[2].replace("{", "").replace("}", "") for row in ROWS if row[1] == "GET")
    return list(itertools.islice(reads, count))


def _distinct(effort: Effort, providers: Providers) -> list[Row]:
    client = memory.client()
    rows = []
    for what, several in (
        ("keys", {count: [f"/v1/kv/benchmark/{number}" for number in range(count)] for count in DISTINCT}),
        ("operations", {count: paths(count) for count in DISTINCT}),
    ):
        runs = {count: _each(client, found) for count, found in several.items()}
        variants = [
            variant
            for count, run in runs.items()
            for variant in (Variant(f"off {count}", run), Variant(f"on {count}", run, providers.plugin))
        ]
        figures = measure(variants, effort.rounds, effort.batch, warm_up=max(DISTINCT) * 2)
        few, many = DISTINCT
        extras = [figures.extra(f"on {count}", f"off {count}") for count in DISTINCT]
        ratios = _ratios(figures.series, f"on {many}", f"off {many}", f"on {few}", f"off {few}")
        detail = f"+{extras[1].median:.1f} µs with {len(several[many])}, +{extras[0].median:.1f} µs with {few}"
        rows.append(Row(3, f"{len(several[many])} distinct {what}: extra / extra of one", ratios, detail=detail))
    return rows


def _ratios(series: dict[str, Any], on: str, off: str, on_one: str, off_one: str) -> Spread:
    found = zip(*(series[name].cpu for name in (on, off, on_one, off_one)), strict=True)
    return spread([(a - b) / (c - d) for a, b, c, d in found if c > d])


def _each(client: Any, several: list[str]) -> Callable[[int], None]:
    turns = itertools.cycle(several)

    def take(response: Any) -> None:
        return None

    def call() -> None:
        client.http.get(take, next(turns))

    return repeat(call)


# --- an hour's worth of calls ---------------------------------------------------------------------------------------


def _many(effort: Effort) -> list[Row]:
    calls = HOUR if effort.long else 10_000 if effort.quick else 200_000
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cost.long_run", str(calls)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=3600,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    growth = found["growth"]
    detail = (
        f"{calls:,} calls: {found['before'] / 2**20:.1f} MiB after the first tenth, {found['after'] / 2**20:.1f} MiB at the "
        f"end; slope {found['slope']:.2f} bytes a call"
    )
    return [Row(3, "resident memory, last of the calls / first tenth", Spread(growth, growth, growth), detail=detail)]


# --- collection ---------------------------------------------------------------------------------------------------


def _collection(effort: Effort) -> list[Row]:
    rows = []
    for count in DISTINCT:
        providers = Providers()
        known = paths(count)
        client = memory.client()
        run = _each(client, known)
        with providers.plugin():
            run(len(known) * 5)
            values = _times(providers.reader.get_metrics_data, 5 if effort.quick else 25)
        alone = Providers()
        histogram = alone.histogram()
        for path in known:
            histogram.record(0.01, {"consul.operation": path, "consul.outcome": "ok"})
        bare = _times(alone.reader.get_metrics_data, 5 if effort.quick else 25)
        detail = f"one SDK histogram of as many series alone: {spread(bare).median:.2f} ms"
        rows.append(
            Row(3, f"one collection of all metrics, {len(known)} operations", spread(values), "ms", detail=detail)
        )
        providers.shutdown()
        alone.shutdown()
    return rows


def _times(call: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        before = time.thread_time()
        call()
        found.append((time.thread_time() - before) * 1e3)
    return found
