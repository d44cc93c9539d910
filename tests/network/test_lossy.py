"""A network that loses things, for real: what is said of calls over it, and of those that hang on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.attribution import lossy
from benchmarks.attribution.lossy import CASES, Case
from testbed import netns

pytest.importorskip("consul.aio")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def found() -> Callable[[bool], dict[tuple[str, str], dict[str, Any]]]:
    """What was said in each case by each client, plain or over TLS."""
    why = netns.cannot()
    if why and os.environ.get("OTEL_CONSUL_REQUIRE_NETNS"):
        pytest.fail(why)
    if why:
        pytest.skip(why)
    known: dict[bool, dict[tuple[str, str], dict[str, Any]]] = {}

    def play(tls: bool) -> dict[tuple[str, str], dict[str, Any]]:
        if tls not in known:
            only = "request lost for 0.6 s" if tls else ""
            known[tls] = {(case.name, one["style"]): one for case, one in lossy.play(only, tls=tls)}
        return known[tls]

    return play


ENDED = [(case, style) for case in CASES if not case.state for style in case.styles]
HUNG = [(case, style) for case in CASES if case.state for style in case.styles]


def named(cases: list[tuple[Case, str]]) -> Any:
    return pytest.mark.parametrize(("case", "style"), cases, ids=[f"{case.name} ({style})" for case, style in cases])


def assert_delay(case: Case, one: dict[str, Any]) -> None:
    truth, span = case.delayed(one["extra"]), one["span"]
    said = span.get("consul.network.delay", 0.0)
    if truth:
        assert said == pytest.approx(truth, rel=0.05, abs=0.04), one
        assert said <= span["consul.phase.wait"]
    else:
        assert said == 0, "never the network without proof"
    again = span.get("consul.network.retransmits", 0)
    assert (again > 0) == ("lost" in case.name and "answer" not in case.name), one


@named(ENDED)
def test_a_call_that_has_ended(found: Any, case: Case, style: str) -> None:
    one = found(False)[case.name, style]
    assert one["span"]["consul.outcome"] == "ok"
    assert_delay(case, one)
    if case.slow_link:
        assert one["span"]["consul.phase.receive"] > 0.6 * one["extra"], "a slow link is no lost request"


@named(HUNG)
def test_a_call_that_hangs(found: Any, case: Case, style: str) -> None:
    one = found(False)[case.name, style]
    assert one["stalled"]["consul.network.state"] == case.state, one
    assert one["stalled"]["consul.network.silent_for"] > 0.1
    assert (one["stalled"]["consul.network.retransmits"] > 0) == (case.state == "unacknowledged")
    if not case.blocked:  # else the thread that would look is elsewhere too
        assert one["seen"] == case.state


@named([(case, style) for case, style in ENDED if case.name.startswith("request lost for")])
def test_over_tls(found: Any, case: Case, style: str) -> None:
    assert_delay(case, found(True)[case.name, style])
