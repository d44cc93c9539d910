"""A network that loses things, diagnosed by who sees the dashboards alone: Consul or the network?"""

from __future__ import annotations

import base64
import os
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.attribution import lossy
from benchmarks.attribution.lossy import CASES, Case
from testbed import netns
from testbed.backends import Backend, victoria_metrics
from tests.dashboards.conftest import need
from tests.dashboards.grafana import Choice, Dashboard, Target, Window, targets
from tests.dashboards.harness import Question, everything, mean

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PLAYED = [(case, style) for case in CASES for style in case.styles]
ACCUSED = {"unacknowledged": "Network", "acknowledged": "Consul", "closed_by_peer": "This process"}
"""Whom the state of a hung call accuses."""
REPEATS = 3


@dataclass(frozen=True)
class Seen:
    """One service: when it ran."""

    service: str
    began: float
    ended: float


def find(boards: Sequence[Dashboard], panel: str, ref: str) -> Target:
    return next(each for each in targets(boards) if each.panel.startswith(panel) and each.ref == ref)


def judge(question: Question, boards: Sequence[Dashboard]) -> str:
    """Who is to blame: first for what hangs, by its state; else for most of the time."""
    stalled = question.ask(find(boards, "Open calls", "B"))
    states = {one.labels["consul_network_state"]: max(one.values) for one in stalled if max(one.values) > 0}
    if states:
        known = [state for state in states if state in ACCUSED]
        return ACCUSED[known[0]] if len(known) == 1 else "nobody"
    shares = {
        who: sum(mean(one) for one in question.ask(find(boards, "Is it Consul", ref)))
        for who, ref in (("Consul", "A"), ("Network", "B"), ("This process", "C"))
    }
    return max(shares, key=shares.__getitem__)


def injected(case: Case) -> str:
    if case.state:
        return ACCUSED[case.state]
    if case.slow_link or "lost once" in case.name or case.name.startswith(("request lost", "long round trip")):
        return "Consul" if case.name == "long round trip, slow server" else "Network"
    return "Consul"


@pytest.fixture(scope="module")
def server() -> object:
    need("victoria-metrics")
    with victoria_metrics() as backend:
        yield backend


@pytest.fixture(scope="module")
def seen(server: Backend, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Seen]:
    why = netns.cannot()
    if why and os.environ.get("OTEL_CONSUL_REQUIRE_NETNS"):
        pytest.fail(why)
    if why:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("metrics")
    found: dict[tuple[str, str], Seen] = {}
    began = time.time()
    for case, one in lossy.play(metrics=folder, repeats=REPEATS):
        file = folder / f"{CASES.index(case)}-{one['style']}"
        send(server, file)
        found[case.name, one["style"]] = Seen(file.name, began, time.time())
        began = time.time()
    server.show_all()
    return found


def send(server: Backend, file: Path) -> None:
    for line in file.read_bytes().splitlines():
        headers = {"Content-Type": "application/x-protobuf"}
        request = urllib.request.Request(server.otlp_metrics_url, base64.b64decode(line), headers)
        urllib.request.urlopen(request, timeout=30).close()


@pytest.mark.parametrize(("case", "style"), PLAYED, ids=[f"{case.name} ({style})" for case, style in PLAYED])
def test_the_dashboards_name_consul_or_the_network(
    seen: dict[tuple[str, str], Seen], server: Backend, boards: list[Dashboard], case: Case, style: str
) -> None:
    one = seen[case.name, style]
    window = Window(one.began - 1, one.ended + 1.5, scrape_interval=1.0)
    question = Question(server, window, everything(boards) | {"service": Choice((one.service,))})
    assert judge(question, boards) == injected(case)
