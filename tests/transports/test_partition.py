"""Whatever happens to a call, its phases add up to its duration: sequences of faults made by hypothesis."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_consul.metrics.definitions import PHASE_TIME
from otel_consul.semconv import PHASE_FLOOR
from testbed.stub_agent import StubAgent
from tests.clients.drivers import why_not_importable
from tests.support.phases import duration, phases
from tests.support.telemetry import Telemetry

PATIENCE = 0.08
"""Seconds after which a caller gives up."""
DELAYS = st.sampled_from([0.0, 0.005, 0.02])
BROKEN = [
    {"stop": stop, "stop_after": after}
    for stop in ("close", "reset", "hang")
    for after in ("nothing", "headers", "half")
]
DRIPS = [{"drip_bytes": 40, "drip_every": 0.004, "drip": part} for part in ("body", "headers", "all")]
FAULTS = st.builds(
    lambda delay, fault: {"delay": delay, "times": 1, **fault},
    DELAYS,
    st.sampled_from(
        [
            {},
            *BROKEN,
            *DRIPS,
            {**DRIPS[0], "chunked": True},
            {**DRIPS[2], "stop": "reset", "stop_after": "half"},
            {"hang_up": True},
            {"status": 500},
            {"status": 503, "headers": {"Retry-After": "0"}},
            {"status": 429},
            {"redirect": "/v1/kv/elsewhere"},
            {"redirect": "/v1/kv/key"},
            {"redirect": "http://127.0.0.1:1/v1/kv/key"},
        ]
    ),
)
SEQUENCES = st.lists(FAULTS, min_size=1, max_size=5)
bounded = settings(
    max_examples=20, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(autouse=True)
def value(stub: StubAgent) -> None:
    stub.put("key", "x" * 100)


def inject(stub: StubAgent, sequence: list[dict[str, Any]]) -> None:
    """One request after the other meets them in this order."""
    stub.heal()
    for fault in sequence:
        stub.fault("/v1/kv/*", **fault)


def partitioned(telemetry: Telemetry, number: int, counted_before: float) -> None:
    """The phases of these `number` spans, and what they have added to the metric."""
    spans = telemetry.spans
    assert len(spans) == number
    for span in spans:
        found = phases(span)
        assert all(seconds >= 0 for seconds in found.values()), found
        # a phase below the floor is left out
        assert sum(found.values()) == pytest.approx(duration(span), rel=0.01, abs=PHASE_FLOOR), found
    # On spans `other` is what the rest leaves; here it has been counted like any phase.
    counted = telemetry.total(PHASE_TIME.name) - counted_before
    assert counted == pytest.approx(sum(map(duration, spans)), rel=0.001, abs=1e-6)


@pytest.mark.skipif(why_not_importable("consul.std") is not None, reason="no consul.std here")
@bounded
@given(SEQUENCES)
def test_over_requests_with_retries(instrumented: Telemetry, stub: StubAgent, sequence: list[dict[str, Any]]) -> None:
    import consul
    import requests
    import urllib3

    class Impatient(requests.adapters.HTTPAdapter):  # type: ignore[misc]
        def send(self, *args: Any, **kwargs: Any) -> Any:
            return super().send(*args, **{**kwargs, "timeout": PATIENCE})

    instrumented.clear()
    before = instrumented.total(PHASE_TIME.name)
    client = consul.Consul(port=stub.port)
    retry = urllib3.Retry(2, backoff_factor=0.005, status_forcelist=[429, 503])
    client.http.session.mount("http://", Impatient(max_retries=retry))
    inject(stub, sequence)
    for _ in sequence:
        with suppress(Exception):
            client.kv.get("key")
    client.http.session.close()
    partitioned(instrumented, len(sequence), before)


@pytest.mark.skipif(why_not_importable("consul.aio") is not None, reason="no consul.aio here")
@bounded
@given(SEQUENCES, st.booleans())
def test_over_aiohttp(instrumented: Telemetry, stub: StubAgent, sequence: list[dict[str, Any]], together: bool) -> None:
    import consul.aio

    async def impatient(client: Any) -> None:
        with suppress(Exception):
            await asyncio.wait_for(client.kv.get("key"), PATIENCE)

    async def main() -> None:
        client = consul.aio.Consul(port=stub.port)
        calls = [impatient(client) for _ in sequence]
        if together:
            await asyncio.gather(*calls)
        else:
            for call in calls:
                await call
        if hasattr(client, "close"):
            await client.close()

    instrumented.clear()
    before = instrumented.total(PHASE_TIME.name)
    inject(stub, sequence)
    asyncio.run(main())
    partitioned(instrumented, len(sequence), before)
