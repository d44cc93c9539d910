"""Where the data comes from: demo/release.py, an ordinary program with the plugin, in two releases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from demo import rollout
from demo.rollout import NEW, OLD
from otel_consul import semconv as s
from testbed.processes import Process
from tests.dashboards.story import Story

# What is injected: see demo/rollout.py for the far agent's faults, demo/release.py for how often what is called.
STORY = Story(
    service=rollout.SERVICE,
    old_release=OLD,
    new_release=NEW,
    operations=frozenset({
        "agent.services", "catalog.service", "catalog.services", "health.service", "kv.get", "kv.put", "session.list",
    }),
    slowest_operation="health.service",
    slowest_wait=rollout.STOCK_DELAY,
    top_phase="wait",
    top_cause="event_loop",
    consul_share=(0.6, 0.95),
    old_p99=(0.1, 0.25),
    new_p99=(0.25, 0.5),
    failed_operation="session.list",
    failed_outcome=s.Outcome.TIMEOUT,
    cancelled_operation="kv.get",
    erring_operation="kv.put",
    hung_operation="agent.services",
    no_deadline_operation="agent.services",
    retried_operation="session.list",
    late_operation="health.service",
    leaderless_operation="kv.get",
    last_contact=(rollout.LAST_CONTACT, rollout.LAST_CONTACT),
    # 1.2 failures and 0.5 calls without a deadline per second, of some 20 calls.
    new_failed_share=(0.03, 0.1),
    new_no_deadline_share=(0.01, 0.045),
)  # fmt: skip


class Releases:
    """Two processes at the same time, one of each release."""

    story = STORY
    processes = 2
    seconds = 45.0

    @contextmanager
    def running(self, otlp_metrics_url: str, scrape_ports: list[int]) -> Iterator[list[Process]]:
        with ExitStack() as stack:
            place = stack.enter_context(rollout.surroundings(real=True))
            to = rollout.metrics_to(otlp_metrics_url)
            yield [
                stack.enter_context(rollout.running(release, place, to | _scraped(port)))
                for release, port in zip((OLD, NEW), scrape_ports, strict=True)
            ]


def _scraped(port: int) -> dict[str, str]:
    return {
        "OTEL_METRICS_EXPORTER": "otlp,prometheus",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
    }


def roll_out(otlp_metrics_url: str, seconds: float) -> None:
    """The new release replaces the old one in the middle: the story of the documentation's pictures."""
    with rollout.surroundings(real=True) as place:
        for release in (OLD, NEW):
            with rollout.running(release, place, rollout.metrics_to(otlp_metrics_url)):
                time.sleep(seconds / 2)


FEED = Releases()
