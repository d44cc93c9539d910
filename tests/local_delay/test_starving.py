"""A machine that does not run the calls' process, for real: what the spans say is what the kernel counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_consul.local_delay import scheduler
from testbed import cgroups

pytest.importorskip("consul.aio")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
if not scheduler.AVAILABLE:
    pytest.skip("this kernel does not say how long a thread was ready", allow_module_level=True)

ROOT = Path(__file__).parents[2]
STYLES = pytest.mark.parametrize("style", ["sync", "asyncio"])


@pytest.fixture
def limit() -> None:
    """A limit can be set here."""
    why = cgroups.cannot()
    if why and os.environ.get("OTEL_CONSUL_REQUIRE_CGROUP"):
        pytest.fail(why)
    if why:
        pytest.skip(why)


def play(*options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the spans say and what the kernel counted: seconds by cause, for the calls of each key."""
    command = [sys.executable, "-m", "benchmarks.attribution.starving", *options]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "COV"))}
    result = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    return found["given"], found["truth"]


def near(seconds: float, calls: int) -> Any:
    """Within a tenth or 30 ms is the goal (docs/attribution.md); a loaded machine may cost half as much again."""
    return pytest.approx(seconds, rel=0.15, abs=0.03 + 0.0005 * calls)


def assert_starved(given: dict[str, float], truth: dict[str, float]) -> None:
    calls = int(truth["calls"])
    assert given["cpu"] + given["throttled"] == near(truth["cpu"] + truth["throttled"], calls), (given, truth)
    assert given["throttled"] == near(truth["throttled"], calls), (given, truth)
    assert sum(given.values()) <= 1.01 * truth["duration"] + given["gc"], (given, truth)


@STYLES
@pytest.mark.usefixtures("limit")
def test_a_cpu_limit(style: str) -> None:
    given, truth = play("limit", "--style", style)
    assert_starved(given["a"], truth["a"])
    assert truth["a"]["throttled"] > 0.02


@STYLES
def test_busy_processes(style: str) -> None:
    given, truth = play("busy", "--style", style)
    assert given["a"]["throttled"] == 0
    assert given["a"]["cpu"] > 3 * (given["a"]["gil"] + given["a"]["event_loop"])
    assert given["a"]["cpu"] == pytest.approx(truth["a"]["cpu"], rel=0.15), (given, truth)


@STYLES
@pytest.mark.usefixtures("limit")
def test_a_limit_and_a_thread_that_holds_the_gil(style: str) -> None:
    given, truth = play("limit", "--gil", "0.1", "--style", style)
    assert_starved(given["late"], truth["late"])
    lost = truth["late"]["duration"] - 0.15 * truth["late"]["calls"]
    assert sum(given["late"].values()) == pytest.approx(lost, rel=0.15, abs=0.1), (given, truth)
    assert given["late"]["gil"] > 0.1


def test_busy_processes_and_a_blocked_loop() -> None:
    """The loop computes for 0.3 s, most of which others have the processor; the answer comes after 50 ms of that."""
    given, truth = play("busy", "--blocked", "0.3", "--style", "asyncio")
    calls = truth["late"]["calls"]
    assert given["late"]["cpu"] + given["late"]["event_loop"] == pytest.approx(0.25 * calls, rel=0.2), (given, truth)
    assert given["late"]["cpu"] > 2 * given["late"]["event_loop"]
    assert given["late"]["gil"] < 0.1 * calls


@STYLES
@pytest.mark.usefixtures("limit")
def test_a_limit_and_a_slow_server(style: str) -> None:
    """What Consul takes is Consul's, limit or not."""
    given, truth = play("limit", "--slow", "0.1", "--style", style)
    found = sum(given["a"].values())
    assert found <= truth["a"]["cpu"] + truth["a"]["throttled"] + 0.1 * truth["a"]["duration"], (given, truth)
    assert found <= truth["a"]["duration"] - 0.095 * truth["a"]["calls"]
