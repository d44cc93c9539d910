"""The same random program with the plugin and without it: what it gets, and what Consul gets, is the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from otel_consul import ConsulInstrumentor
from otel_consul.metrics import definitions
from tests.clients import drivers
from tests.clients.drivers import Driver
from tests.differential.agent import Answer, RecordingAgent
from tests.differential.programs import ANSWERS, SETTINGS, Step, count_calls, operations_of, run, steps
from tests.differential.values import neutral
from tests.support.telemetry import Telemetry

SOAK = int(os.environ.get("SOAK_EXAMPLES", "0"))
"""How many programs of each client `make soak` tries, random ones; else few, always the same."""
FUZZ = settings(
    max_examples=SOAK or 30,
    derandomize=not SOAK,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
DRIVERS = [one for one in drivers.available() if one.style in ("sync", "asyncio")]


@pytest.fixture(scope="module")
def agent() -> Iterator[RecordingAgent]:
    with RecordingAgent() as agent:
        yield agent


def observe(kind: type[Driver], agent: RecordingAgent, program: list[Step], script: list[Answer]) -> Any:
    """What the program gets, what the agent gets, and how many calls there were, if the plugin is off."""
    agent.begin(script)
    driver = kind()
    try:
        client = driver.make(agent.port)
        calls = [] if ConsulInstrumentor().is_instrumented_by_opentelemetry else count_calls(client)
        values = run(driver, client, program)
        return values, [(number, neutral(sent.decode("latin-1"))) for number, sent in agent.sent], len(calls)
    finally:
        driver.shutdown()


def operations(kind: type[Driver]) -> dict[str, list[str]]:
    driver = kind()
    try:
        return operations_of(driver.make(1))
    finally:
        driver.shutdown()


@pytest.mark.parametrize("kind", DRIVERS, ids=lambda kind: kind.name)
@pytest.mark.timeout(60 + SOAK)
def test_a_program_is_the_same(kind: type[Driver], agent: RecordingAgent) -> None:
    known = operations(kind)
    assert len(known) > 20, known

    @FUZZ
    @given(steps(known), st.lists(ANSWERS, min_size=1, max_size=6), SETTINGS)
    def same(program: list[Step], script: list[Answer], options: dict[str, Any]) -> None:
        plain, plain_bytes, calls = observe(kind, agent, program, script)
        telemetry = Telemetry()
        telemetry.instrument(**options)
        try:
            values, sent, _ = observe(kind, agent, program, script)
            assert values == plain
            assert sent == plain_bytes
            counts = {
                "spans": len(telemetry.spans),
                "histogram": telemetry.total(definitions.DURATION.name),
                "open": telemetry.total(definitions.ACTIVE.name),
            }
            assert counts == {"spans": calls, "histogram": calls, "open": 0}
            for span in telemetry.all_spans:
                "".join(map(str, (span.attributes or {}).values())).encode()  # or an exporter could not
        finally:
            telemetry.uninstrument()
            telemetry.shutdown()

    same()
