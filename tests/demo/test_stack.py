"""`make stack`: it runs, its page has the dashboards' data, and Ctrl-C ends it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from demo import rollout, stack_page
from testbed.otlp_receiver import OtlpReceiver
from testbed.processes import Process
from tests.dashboards.conftest import need
from tests.demo.test_demo import INTERRUPTS_IGNORED

COMMAND = [*INTERRUPTS_IGNORED, sys.executable, "-m", "demo.stack", "--seconds", "3600"]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def eventually(look: Any, process: Process, seconds: float = 40.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := look()):
        assert process.running, process.tail()
        assert time.monotonic() < end, process.tail()
        time.sleep(0.2)
    return found


def test_the_page_asks_what_the_dashboards_ask() -> None:
    panels = [panel for board in stack_page.dashboards() for panel in board["panels"]]
    expressions = [query["expr"] for panel in panels for query in panel["queries"]]
    assert len(expressions) > 30
    assert not [one for one in expressions if "$" in one]


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_it_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    need("victoria-metrics")
    process = Process(COMMAND, tmp_path / "log")
    try:
        found = eventually(lambda: re.search(r"http://127\.0\.0\.1:\d+/", process.log.read_text()), process)
        ask = f"{found[0]}api/v1/query?query=consul_client_operations_total"
        series = eventually(lambda: get(ask)["data"]["result"], process)
        assert {one["metric"]["service_version"] for one in series} == {rollout.OLD}
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(15.0) == 0
        assert "nothing of it is left running" in process.tail()
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_in_a_container_everything_goes_to_the_collector(tmp_path: Path) -> None:
    with OtlpReceiver() as collector, rollout.surroundings() as place:
        variables = {
            "CONSUL_HTTP_ADDR": place.near,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        process = Process(
            ["env", *(f"{name}={value}" for name, value in variables.items()), *COMMAND], tmp_path / "log"
        )
        try:
            eventually(lambda: collector.spans and collector.metrics, process)
        finally:
            process.kill()
