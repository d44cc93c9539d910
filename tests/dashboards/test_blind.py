"""Each fault of the attribution suite, diagnosed by who sees the dashboards alone. The score is in docs/dashboards.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dashboards.blind import Sentence, judge_all
from tests.dashboards.blind_program import CASES
from tests.dashboards.conftest import need
from tests.dashboards.grafana import Dashboard

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def sentences(boards: list[Dashboard], consul_program: Path) -> list[Sentence]:
    need("victoria-metrics")
    return judge_all(boards)


def test_every_scenario_was_played(sentences: list[Sentence]) -> None:
    assert [(one.scenario, one.style) for one in sentences] == CASES


@pytest.mark.parametrize(
    "number", [pytest.param(n, id=f"{one.name} ({style})") for n, (one, style) in enumerate(CASES)]
)
def test_the_dashboards_name_operation_and_cause(sentences: list[Sentence], number: int) -> None:
    assert sentences[number].right, str(sentences[number])
