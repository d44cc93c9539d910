"""Fixtures for every test. The plugin is off before and after each one, and a fault of ours fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.telemetry import Telemetry, consul_required

if TYPE_CHECKING:  # the matrix's environments need not carry what only the testbed uses
    from testbed.consul import Cluster, ConsulAgent
    from testbed.stub_agent import StubAgent


@pytest.fixture(autouse=True)
def _plugin_off_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from otel_consul import ConsulInstrumentor, guard

    monkeypatch.setattr(guard, "strict", True)
    guard.forget()
    yield
    if ConsulInstrumentor().is_instrumented_by_opentelemetry:
        ConsulInstrumentor().uninstrument()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """In-memory providers; the plugin is still off (`telemetry.instrument()` switches it on)."""
    telemetry = Telemetry()
    yield telemetry
    telemetry.shutdown()


@pytest.fixture
def instrumented(telemetry: Telemetry) -> Telemetry:
    """In-memory providers, the plugin on."""
    telemetry.instrument()
    return telemetry


@pytest.fixture
def stub() -> Iterator[StubAgent]:
    """A stand-in agent that can be told to misbehave."""
    from testbed.stub_agent import StubAgent

    with StubAgent() as agent:
        yield agent


@pytest.fixture(scope="session")
def consul_program() -> Path:
    """The real Consul; without one the test is skipped, or fails under OTEL_CONSUL_REQUIRE_CONSUL=1."""
    from testbed import consul

    try:
        return consul.find_consul()
    except consul.Unavailable as reason:
        if consul_required():
            raise
        pytest.skip(f"no Consul here: {reason}")


@pytest.fixture(scope="session")
def consul_agent(consul_program: Path) -> Iterator[ConsulAgent]:
    """A real agent, shared by the session: use keys and names of your own."""
    from testbed import consul

    with consul.agent() as agent:
        yield agent


@pytest.fixture(scope="session")
def consul_acl_agent(consul_program: Path) -> Iterator[ConsulAgent]:
    """A real agent that denies by default, shared by the session; `token` may do everything."""
    from testbed import consul

    with consul.acl_agent() as agent:
        yield agent


@pytest.fixture
def consul_cluster(consul_program: Path) -> Iterator[Cluster]:
    """Three servers and a client agent, for one test to break."""
    from testbed import consul

    with consul.cluster() as cluster:
        yield cluster
