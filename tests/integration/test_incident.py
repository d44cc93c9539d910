"""The incident: the network to a real Consul falls silent, and calls without a deadline hang by the hundred.

The service is a process of its own (`demo/incident_service.py`), its telemetry goes to a real OTLP endpoint, and what is
asserted comes from there: while it hangs, after the repair, and at the moment the process dies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("rich")
pytest.importorskip("consul")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from demo.incident import findings
from demo.incident_run import STYLES, Plan, play
from testbed.consul import ConsulAgent
from testbed.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(120)]
SILENCE = 6.0
THRESHOLD = 1.0
DEADLINE = 0.8
"""Below the threshold: a call that ends in time is never told of as stalled."""
PYTHONS = [sys.executable, *os.environ.get("OTEL_CONSUL_INCIDENT_PYTHONS", "").split()]
"""Interpreters for the service. The variable adds those of environments with other client libraries."""


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def proxy(consul_agent: ConsulAgent) -> Iterator[TcpProxy]:
    """The network between the service and a real Consul."""
    with TcpProxy(consul_agent.port) as proxy:
        yield proxy


@pytest.mark.parametrize("style", STYLES)
def test_the_incident_is_seen_while_it_happens_and_nothing_is_lost(python: str, style: str, proxy: TcpProxy) -> None:
    if style == "asyncio" and not has(python, "consul.aio"):
        pytest.skip("this library has no asyncio here")
    broken = play(Plan(style, None, SILENCE, stall_threshold=THRESHOLD, python=python), proxy)
    fixed = play(Plan(style, DEADLINE, SILENCE / 2, stall_threshold=THRESHOLD, python=python), proxy)
    assert [what for what, seen in findings(broken, fixed).items() if not seen] == []
    # again at every doubling: the first calls were told of at 1, 2 and 4 seconds, the last ones not at all
    ages = sorted({round(float(str(log.attributes["consul.elapsed"])) / THRESHOLD) for log in broken.logs})
    assert ages == [1, 2, 4]
    assert all(log.severity == "WARN" and log.trace_id and log.span_id for log in broken.logs)
    assert {log.attributes["consul.deadline"] for log in broken.logs} == {"none"}
    assert {log.attributes["consul.phase"] for log in broken.logs} <= {"wait", "connect", "pool"}
    assert fixed.logs == []


def test_what_sigkill_takes_is_what_was_told_of(proxy: TcpProxy) -> None:
    account = play(Plan("threads", None, SILENCE, stall_threshold=THRESHOLD, end=signal.SIGKILL), proxy)
    killed = account.made - len(account.calls)
    told_of = {span.parent_id for span in account.stalled} - {span.span_id for span in account.calls}
    assert account.exit_code == -signal.SIGKILL
    assert "abandoned" not in account.outcomes()
    assert killed > SILENCE * account.plan.rate * 0.7
    # all of them, except those younger than the threshold at the end
    assert killed - account.plan.rate * (THRESHOLD + 1) <= len(told_of) <= killed


def has(python: str, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
