"""The rows of the result, on the terminal and in docs/cost.md."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.cost.timing import Spread

SECTIONS = {
    1: "Cost per call",
    2: "States",
    3: "Growth",
    4: "Start",
    5: "Other people's HTTP calls",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "cost.md"
READING = Path(__file__).with_name("reading.md")
"""What the figures mean: written by hand."""
_PACKAGES = (
    "otel-consul",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation-requests",
    "opentelemetry-instrumentation-aiohttp-client",
    "wrapt",
    "py-consul",
    "requests",
    "urllib3",
    "aiohttp",
)


@dataclass(frozen=True)
class Row:
    """One figure."""

    section: int
    what: str
    value: Spread | None
    """None: it could not be measured here; `detail` says why."""
    unit: str = "×"
    target: float | None = None
    """At most this; None where the issue sets none."""
    detail: str = ""

    @property
    def met(self) -> bool | None:
        if self.value is None or self.target is None or math.isnan(self.value.median):
            return None
        return self.value.median <= self.target

    @property
    def verdict(self) -> str:
        return {True: "met", False: "MISSED", None: ""}[self.met]

    def cells(self) -> tuple[str, ...]:
        if self.value is None:
            return (self.what, "not measured", "", "", "", self.detail)
        target = "" if self.target is None else f"≤ {_number(self.target)} {self.unit}"
        shown = f"{_number(self.value.median)} {self.unit}"
        span = f"{_number(self.value.low)} … {_number(self.value.high)}"
        return (self.what, shown, span if self.value.low != self.value.high else "", target, self.verdict, self.detail)


def _number(value: float) -> str:
    if math.isnan(value):
        return "?"
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 20 else f"{value:.2f}"


HEAD = ("what", "figure", "quartiles", "target", "", "measured")


def text(rows: Sequence[Row]) -> str:
    cells = [row.cells() for row in rows]
    widths = [max(len(line[column]) for line in [HEAD, *cells]) for column in range(len(HEAD) - 1)]
    lines = [_line(HEAD, widths)]
    section = 0
    for row, line in zip(rows, cells, strict=True):
        if row.section != section:
            section = row.section
            lines.append(f"\n{section}. {SECTIONS[section]}")
        lines.append(_line(line, widths))
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    *fixed, last = cells
    return "  ".join([*(cell.ljust(width) for cell, width in zip(fixed, widths, strict=True)), last]).rstrip()


def summary(rows: Iterable[Row]) -> str:
    verdicts = [row.met for row in rows if row.met is not None]
    return f"{sum(verdicts)} of {len(verdicts)} targets met"


def machine() -> str:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} absent")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()} "
        f"{platform.machine()}, {_processor()} × {os.cpu_count()}, load average {load}.\n{', '.join(found)}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "processor unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor unknown"
    )


def markdown(rows: Sequence[Row], command: str) -> str:
    lines = [
        "# What it costs",
        "",
        f"Written by `{command}`; the same table is printed by `make bench`. {_EXPLANATION}",
        "",
        machine(),
        "",
        f"**{summary(rows)}.**",
    ]
    section = 0
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", f"## {section}. {SECTIONS[section]}", "", f"|{'|'.join(HEAD)}|", "|---" * len(HEAD) + "|"]
        lines.append("|" + "|".join(cell.replace("|", "\\|") for cell in row.cells()) + "|")
    return "\n".join([*lines, "", READING.read_text(encoding="utf-8")])


_EXPLANATION = """Every figure compares things
measured alternately in one process, in short batches (paired processes where one cannot hold both); the figure is the
median over the rounds, beside it the quartiles. Unless it says "wall", it is the calling thread's CPU time. Spans go to a
`BatchSpanProcessor` whose exporter drops them. Costs are *extra*: beyond the same call without any instrumentation.

The **floor** is the least that any instrumentation could cost that exports the same: a bare SDK span that gets the very
attributes of an exported span of the same scenario, at the moments the plugin sets them, and one `histogram.record` in
the span's context."""
