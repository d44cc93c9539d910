"""Section 4: imports and `instrument()`, in fresh interpreters started alternately."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.cost.table import Row
from benchmarks.cost.timing import Effort, Figures, Series, Spread

IMPORT_TARGET = 1.5
ROOT = Path(__file__).parents[2]
LIBRARIES = ("consul", "consulate", "patroni", "requests", "urllib3", "aiohttp", "httpx", "tornado", "twisted", "treq")

_TIMED = """
import json, sys, time
{before}
cpu, wall = time.thread_time(), time.perf_counter()
{code}
cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
print(json.dumps([cpu * 1e6, wall * 1e6, [name for name in {libraries} if name in sys.modules]]))
"""
# `opentelemetry.instrumentation` itself is an empty folder: this is what every instrumentation is made of.
BASE = "import opentelemetry.instrumentation.instrumentor"
BASE_WITH_API = f"{BASE}, opentelemetry.trace, opentelemetry.metrics, opentelemetry._logs"
OURS = "import otel_consul"
INSTRUMENT = "otel_consul.ConsulInstrumentor().instrument()"
_CALLS = """
from benchmarks.cost import memory, scenarios
run = scenarios.calls(memory.client())
run(3000)
"""


def run(effort: Effort) -> list[Row]:
    times = 3 if effort.quick else 21
    figures, found = paired(
        {
            "base": ("", BASE),
            "base with API": ("", BASE_WITH_API),
            "ours": ("", OURS),
            "instrument": (OURS, INSTRUMENT),
            "instrument, clients there": (f"import consul.std, consul.aio\n{OURS}", INSTRUMENT),
            "both": ("", f"{OURS}\n{INSTRUMENT}"),
        },
        times,
    )
    return [
        _import("opentelemetry.instrumentation.instrumentor", figures, "base", IMPORT_TARGET),
        _import("the same and the three APIs it uses", figures, "base with API", None),
        Row(4, "instrument(), no client imported yet", figures.milliseconds("instrument"), "ms"),
        Row(4, "instrument(), clients imported", figures.milliseconds("instrument, clients there"), "ms"),
        _no_client(found["both"]),
    ]


def _import(name: str, figures: Starts, base: str, target: float | None) -> Row:
    ours, theirs = figures.per_call("ours").median / 1000, figures.per_call(base).median / 1000
    wall = figures.ratio("ours", base, clock="wall").median
    detail = f"{ours:.0f} ms against {theirs:.0f} ms; wall × {wall:.2f}"
    return Row(4, f"import otel_consul / import {name}", figures.ratio("ours", base), target=target, detail=detail)


def _no_client(found: set[str]) -> Row:
    count = float(len(found))
    detail = ", ".join(sorted(found)) or f"none of {', '.join(LIBRARIES)} is in sys.modules"
    return Row(
        4, "client and HTTP libraries imported by import + instrument()", Spread(count, count, count), "", 0.0, detail
    )


def not_applied(effort: Effort) -> Row:
    """The package imported, but not switched on."""
    figures, _ = paired(
        {"without": (_CALLS, "run(5000)"), "with": (f"{OURS}\n{_CALLS}", "run(5000)")}, 3 if effort.quick else 15
    )
    detail = "paired processes: `import otel_consul` or not"
    return Row(
        2, "installed and imported, not applied: call / call without", figures.ratio("with", "without"), detail=detail
    )


class Starts(Figures):
    """One value a started interpreter."""

    def milliseconds(self, name: str) -> Spread:
        return Spread(*(value / 1000 for value in self.per_call(name)))


def paired(codes: Mapping[str, tuple[str, str]], times: int) -> tuple[Starts, dict[str, set[str]]]:
    """Microseconds of each code (before it, what is not timed), and which of `LIBRARIES` are imported after it."""
    series = {name: Series() for name in codes}
    # An installed package has its bytecode; without it compiling would be measured.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found: dict[str, set[str]] = {name: set() for name in codes}
    for number in range(times + 1):
        for name, (before, code) in codes.items():
            program = _TIMED.format(before=before, code=code, libraries=repr(LIBRARIES))
            done = subprocess.run(
                [sys.executable, "-c", program],
                cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60,
            )  # fmt: skip
            cpu, wall, imported = json.loads(done.stdout.splitlines()[-1])
            found[name].update(imported)
            if number:  # the first writes bytecode
                series[name].cpu.append(cpu)
                series[name].wall.append(wall)
    return Starts(series), found
