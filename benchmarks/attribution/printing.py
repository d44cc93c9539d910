"""The table, for a terminal or for the docs."""

from __future__ import annotations

import math
import os
import platform
from importlib.metadata import version
from typing import Protocol

from benchmarks.attribution.judging import Result
from benchmarks.attribution.scenarios import Scenario, Style

_LIBRARIES = ("py-consul", "requests", "urllib3", "aiohttp", "opentelemetry-sdk")
_SHOWN = 0.0015
"""Seconds from which on something given is worth printing though nobody expected it."""


class Table(Protocol):
    def begin(self) -> None: ...
    def row(self, result: Result) -> None: ...
    def skipped(self, scenario: Scenario, style: Style, reason: str) -> None: ...
    def end(self, count: int, missed: int) -> None: ...


def machine() -> str:
    """Where and with what this was measured."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return f"{platform.system()} {platform.release()}, {os.cpu_count()} processors, Python {platform.python_version()}; {libraries}"


def seconds_by(key_seconds: dict[str, float], floor: float = 0.0) -> str:
    """`wait 0.60, event_loop 0.50`."""
    shown = sorted((k for k, s in key_seconds.items() if abs(s) >= floor), key=lambda k: -key_seconds[k])
    return ", ".join(f"{key} {key_seconds[key]:.3f}" for key in shown) or "-"


def given_text(result: Result) -> str:
    """What was expected and what else is notable."""
    given = {k: s for k, s in result.given.items() if k in result.expected or s >= _SHOWN}
    return seconds_by(given)


def share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


class Plain:
    """About 110 columns."""

    _FORMAT = "{:30} {:7} {:31} {:>6} {:>6} {}"

    def begin(self) -> None:
        print(machine())
        print(f"load {', '.join(f'{load:.1f}' for load in os.getloadavg())}\n")
        print(self._FORMAT.format("scenario", "client", "injected s", "found", "wrong", "goal"))
        print(self._FORMAT.format("", "", "given s", "", "", ""))

    def row(self, result: Result) -> None:
        name = result.scenario.name
        verdict = "met" if result.met else "MISSED"
        injected, given = seconds_by(result.expected), given_text(result)
        print(self._FORMAT.format(name, result.style, injected, share(result.found), share(result.wrong), verdict))
        print(f"{'':38} {given}", flush=True)

    def skipped(self, scenario: Scenario, style: Style, reason: str) -> None:
        print(f"{scenario.name:30} {style:7} skipped: {reason}")

    def end(self, count: int, missed: int) -> None:
        print(f"\n{count - missed} of {count} goals met")


class Markdown:
    """For docs/attribution.md."""

    def begin(self) -> None:
        print(f"{machine()}.\n")
        print("| Scenario | Client | Injected (s) | Given (s) | Found | Wrong | Goal |")
        print("|---|---|---|---|---|---|---|")

    def row(self, result: Result) -> None:
        verdict = "met" if result.met else "**missed**"
        cells = (result.scenario.name, result.style, seconds_by(result.expected), given_text(result))
        print("|", " | ".join((*cells, share(result.found), share(result.wrong), verdict)), "|", flush=True)

    def skipped(self, scenario: Scenario, style: Style, reason: str) -> None:
        print("|", " | ".join((scenario.name, style, f"skipped: {reason}", "", "", "", "")), "|")

    def end(self, count: int, missed: int) -> None:
        print(f"\n{count - missed} of {count} goals met.")
