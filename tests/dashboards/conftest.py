"""Servers with data in them, made once. `OTEL_CONSUL_REQUIRE_BACKENDS=1` makes it an error that they cannot be had."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed import backends
from testbed.debian import Unavailable
from testbed.processes import free_ports
from tests.dashboards.feeds import FEED
from tests.dashboards.grafana import Dashboard, Window, load
from tests.dashboards.harness import Question, everything
from tests.dashboards.relay import renaming
from tests.dashboards.story import Story

RENAMED = ("consul.client.phase.time", "consul.client.phase.hour")
LOOK_BACK = 35.0
"""Seconds of data that tests look at."""


def need(program: str) -> Path:
    """A server's program. Skips the test without it, or fails it when servers are required."""
    try:
        return backends.server(program)
    except Unavailable as error:
        if os.environ.get("OTEL_CONSUL_REQUIRE_BACKENDS") == "1":
            pytest.fail(f"OTEL_CONSUL_REQUIRE_BACKENDS=1, but there is no {program}: {error.reason}")
        pytest.skip(f"no {program}: {error.reason}")


@dataclass(frozen=True)
class Stage:
    """The servers after the feed has run."""

    story: Story
    victoria: Question
    prometheus: Question
    renamed: Question
    """A server whose feed calls one metric by another name."""


@pytest.fixture(scope="session")
def boards() -> list[Dashboard]:
    return load()


@pytest.fixture(scope="session")
def promtool() -> Path:
    return need("promtool")


@pytest.fixture(scope="module")
def stage(boards: list[Dashboard], consul_program: Path) -> Iterator[Stage]:
    """The feed has run long enough, and still runs; it ends with the module: three servers would slow down the rest."""
    for name in ("victoria-metrics", "prometheus"):
        need(name)
    ports = free_ports(FEED.processes)
    with (
        backends.victoria_metrics() as victoria,
        backends.victoria_metrics() as renamed,
        backends.prometheus("checkout", ports) as prometheus,
        renaming(*RENAMED, right_url=victoria.otlp_metrics_url, wrong_url=renamed.otlp_metrics_url) as url,
        FEED.running(url, ports) as programs,
    ):
        end = time.monotonic() + FEED.seconds
        while time.monotonic() < end:
            time.sleep(0.5)
            for program in programs:
                assert program.running, program.tail()
        now = time.time() - 2
        window = Window(now - LOOK_BACK, now)
        chosen = everything(boards)
        yield Stage(
            FEED.story,
            Question(victoria, window, chosen),
            Question(prometheus, window, chosen),
            Question(renamed, window, chosen),
        )
