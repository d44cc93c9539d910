"""The attribution suite's injections, for real, against the installed client; its own bounds are tighter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("consul.aio")
pytest.importorskip("requests")

from benchmarks.attribution import run
from benchmarks.attribution.scenarios import SCENARIOS, Scenario, Style
from benchmarks.attribution.stage import CAUSES, Stage

LOCAL = [
    (scenario, style)
    for scenario in SCENARIOS
    for style in scenario.styles
    if any(key in CAUSES for key in scenario.expected) or "harmless" in scenario.name
    if scenario.calls == 1
]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(autouse=True)
def _plugin_off_afterwards(stage: Stage) -> None:
    """Instead of conftest's: here the plugin stays on for the module."""


@pytest.mark.parametrize(("scenario", "style"), LOCAL, ids=[f"{s.name} {style}" for s, style in LOCAL])
def test_what_is_lost_here_is_found_and_nothing_else(stage: Stage, scenario: Scenario, style: Style) -> None:
    result = run.measure(scenario, style, stage, 3)

    injected, given = result.expected, result.given
    bound = 0.15 * max(injected.values())
    if "wait" in injected:
        assert given["wait"] == pytest.approx(injected["wait"], rel=0.15), result
    assert given.get("gc", 0.0) == pytest.approx(injected.get("gc", 0.0), abs=bound), result
    # Where the machine starves, a part of what a loop loses is rightly called so.
    in_all = injected.get("event_loop", 0.0) + injected.get("gil", 0.0)
    assert sum(given.get(cause, 0.0) for cause in ("event_loop", "gil", "cpu", "throttled")) == pytest.approx(
        in_all, abs=bound
    ), result
    if in_all:
        right, other = ("gil", "event_loop") if "gil" in injected else ("event_loop", "gil")
        assert given[right] > given.get(other, 0.0), result
