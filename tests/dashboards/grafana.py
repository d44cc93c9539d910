"""What Grafana does between a dashboard's JSON and its data source: variables, intervals, targets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "examples" / "grafana" / "dashboards"
ALL = "$__all"
BUILT_IN = re.compile(r"\$(?:\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|(?P<plain>\w+))")
LABEL_VALUES = re.compile(r"^label_values\((?P<match>.+),\s*(?P<label>\w+)\)$", re.DOTALL)

Dashboard = dict[str, Any]


def load() -> list[Dashboard]:
    """The committed dashboards."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))]


@dataclass(frozen=True)
class Window:
    """A time range as Grafana asks for it, in seconds since 1970."""

    start: float
    end: float
    scrape_interval: float = 2.0
    max_points: int = 200

    @property
    def interval(self) -> float:
        """`$__interval`."""
        return max(math.ceil((self.end - self.start) / self.max_points), self.scrape_interval)

    @property
    def built_in(self) -> dict[str, str]:
        """Grafana's own variables, by its rules."""
        rate = max(self.interval + self.scrape_interval, 4 * self.scrape_interval)
        spread = self.end - self.start
        return {
            "__interval": f"{self.interval:g}s",
            "__interval_ms": f"{self.interval * 1000:g}",
            "__rate_interval": f"{rate:g}s",
            "__range": f"{spread:.0f}s",
            "__range_s": f"{spread:.0f}",
        }


@dataclass(frozen=True)
class Choice:
    """What a user chose in one variable: All, or some values."""

    values: tuple[str, ...] = (ALL,)
    all_value: str = ""

    def in_promql(self) -> str:
        """As the Prometheus data source writes it: values escaped twice, once for the string, once for the regex."""
        if self.values == (ALL,):
            return self.all_value
        escaped = [_escape(value) for value in self.values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _escape(value: str) -> str:
    return re.sub(r"[$^*{}\[\]'+?.()|]", lambda found: "\\\\" + found[0], value.replace("\\", "\\\\\\\\"))


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    board: str
    panel: str
    ref: str
    expr: str
    legend: str
    instant: bool
    kind: str
    unit: str
    format: str = ""
    panel_type: str = ""

    @property
    def labels(self) -> list[str]:
        """The labels its legend names."""
        return re.findall(r"\{\{\s*(\w+)\s*\}\}", self.legend)

    def __str__(self) -> str:
        return f"{self.board} / {self.panel} / {self.ref}"


def targets(boards: Sequence[Dashboard], kind: str = "prometheus") -> Iterator[Target]:
    """Every query of every panel for data sources of this kind."""
    for board in boards:
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                source = (target.get("datasource") or panel["datasource"])["type"]
                if source == kind:
                    yield Target(
                        board=board["uid"],
                        panel=panel["title"],
                        ref=target["refId"],
                        expr=target.get("expr") or target["query"],
                        legend=target.get("legendFormat", ""),
                        instant=bool(target.get("instant")),
                        kind=kind,
                        unit=unit_of(panel, target),
                        format=target.get("format", ""),
                        panel_type=panel["type"],
                    )


def unit_of(panel: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    """The unit a target is shown in: an override's, else the panel's."""
    config = panel["fieldConfig"]
    names = {target["refId"], target.get("legendFormat"), _column(panel, target["refId"])}
    for override in config["overrides"]:
        if override["matcher"]["options"] in names:
            for item in override["properties"]:
                if item["id"] == "unit":
                    return str(item["value"])
    return str(config["defaults"].get("unit", ""))


def _column(panel: Mapping[str, Any], ref: str) -> str | None:
    for step in panel.get("transformations", []):
        if step["id"] == "organize":
            return str(step["options"]["renameByName"].get(f"Value #{ref}"))
    return None


@dataclass(frozen=True)
class Expander:
    """Fills a dashboard's variables in. A name that is no variable is an error, as it would be on the screen."""

    window: Window
    choices: Mapping[str, Choice] = field(default_factory=dict)

    def expand(self, text: str) -> str:
        known = self.window.built_in | {name: choice.in_promql() for name, choice in self.choices.items()}

        def fill(found: re.Match[str]) -> str:
            name = found["braced"] or found["plain"]
            if name not in known:
                raise LookupError(f"no variable ${name}")
            return known[name]

        return BUILT_IN.sub(fill, text)
