"""Data that arrive late: the numbers that matter most must not read 0 meanwhile. Asked at every step."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator

import pytest

from examples.grafana import promql as q
from testbed.backends import Backend, victoria_metrics
from tests.dashboards.conftest import need
from tests.dashboards.grafana import Dashboard, Window, targets
from tests.dashboards.harness import Question, everything

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SCRAPE = 15.0
STEPS = 40
LATE = 10
"""At this step the export is held up: three of them come only with the next."""
COUNTER, GAUGES = q.OPERATIONS, {q.STALLED: 36.0, q.OLDEST_AGE: 77.0}


@pytest.fixture(scope="module")
def server() -> Iterator[Backend]:
    need("victoria-metrics")
    with victoria_metrics() as backend:
        yield backend


def fill(server: Backend, service: str, start: float, *, stalled: bool, upto: int, gauges: bool = True) -> None:
    """What a service has sent by `upto` exports: its counter in time, the gauges but for those that are late."""
    labels = f'service_name="{service}",job="{service}",consul_operation="kv.get",consul_blocking="false"'
    lines = []
    for number in range(upto):
        when = round((start + number * SCRAPE) * 1000)
        lines.append(f"{COUNTER}{{{labels}}} {number * 10} {when}")
        if gauges and number not in range(LATE, LATE + 3):
            lines += [f"{name}{{{labels}}} {value if stalled else 0} {when}" for name, value in GAUGES.items()]
    body = "\n".join(lines).encode()
    urllib.request.urlopen(f"{server.url}/api/v1/import/prometheus", body, timeout=30).close()
    server.show_all()


def asked(server: Backend, boards: list[Dashboard], service: str, start: float) -> dict[str, list[list[float]]]:
    """What *How bad is it now?* says at every second: the values of its stalled and its oldest call, step by step."""
    chosen = everything(boards) | {"service": everything(boards)["service"].__class__((service,))}
    window = Window(start + 4 * SCRAPE, start + STEPS * SCRAPE, scrape_interval=SCRAPE)
    question = Question(server, window, chosen)
    wanted = [t for t in targets(boards) if t.panel.startswith("How bad") and any(name in t.expr for name in GAUGES)]
    assert len(wanted) == 2
    found: dict[str, list[list[float]]] = {}
    for target in wanted:
        found[target.ref] = [series.values for series in question.evaluate(target.expr)]  # type: ignore[misc]
    return found


def test_stalled_calls_do_not_become_none_while_an_export_is_late(server: Backend, boards: list[Dashboard]) -> None:
    start = time.time() - STEPS * SCRAPE - 60
    fill(server, "hangs", start, stalled=True, upto=STEPS)
    for ref, series in asked(server, boards, "hangs", start).items():
        assert len(series) == 1, ref
        assert set(series[0]) <= set(GAUGES.values()), "36 calls hang for 77 s, at every step"
        assert len(series[0]) >= STEPS - 6, "and a gap of three exports is bridged"


def test_nothing_stalled_is_0(server: Backend, boards: list[Dashboard]) -> None:
    start = time.time() - STEPS * SCRAPE - 60
    fill(server, "well", start, stalled=False, upto=STEPS)
    for ref, series in asked(server, boards, "well", start).items():
        assert len(series) == 1, ref
        assert set(series[0]) == {0.0}


def test_what_is_not_known_is_nothing_and_not_0(server: Backend, boards: list[Dashboard]) -> None:
    start = time.time() - STEPS * SCRAPE - 60
    fill(server, "silent", start, stalled=False, upto=STEPS, gauges=False)
    assert not any(asked(server, boards, "silent", start).values())
