"""For pytest, in a suite of a client's own: the plugin on all the while if PEERS_PLUGIN is set, and an agent for Docker's."""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import ExitStack
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from testbed import consul

_agents = ExitStack()
_last = ExitStack()
_plain: list[consul.ConsulAgent] = []
"""The agents without ACLs; the last is running."""


class _Container:
    """Ends as a container does."""

    attrs: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: b""


def _start(*args: Any, acl_master_token: str | None = None, **kwargs: Any) -> Any:
    """`start_consul_container` of the suite: a real agent; one for all tests that bring no token of their own."""
    config: dict[str, Any] = {"enable_script_checks": True}
    if acl_master_token:
        tokens = {"master": acl_master_token, "agent": acl_master_token}
        config["acl"] = {"enabled": True, "default_policy": "allow", "tokens": tokens}
        config["primary_datacenter"] = "dc1"
        _agents.close()
        return _Container(), _agents.enter_context(consul.agent(config)).port
    if not (_plain and _plain[-1].is_ready()):  # a test may have told it to leave
        _last.close()
        _plain.append(_last.enter_context(consul.agent(config)))
    return _Container(), _plain[-1].port


def _stand_in(name: str) -> None:
    module = ModuleType(name)
    vars(module).update(DockerClient=MagicMock, from_env=MagicMock, APIError=OSError, NotFound=KeyError, __path__=[])
    sys.modules.setdefault(name, module)


for _name in ("docker", "docker.errors"):  # before the suite's conftest is imported
    _stand_in(_name)


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("PEERS_PLUGIN"):
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider

        from otel_consul import ConsulInstrumentor

        meters = MeterProvider([InMemoryMetricReader()])
        ConsulInstrumentor().instrument(tracer_provider=TracerProvider(), meter_provider=meters)


@pytest.fixture
def consul_port() -> int:
    """For suites whose distribution leaves their conftest out; one that has it has its own."""
    port: int = _start()[1]
    return port


@pytest.fixture
def acl_consul() -> Any:
    """As `consul_port`: an agent with ACLs, and the token that may do everything."""
    token = str(uuid.uuid4())
    return SimpleNamespace(port=_start(acl_master_token=token)[1], token=token)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for plugin in config.pluginmanager.get_plugins():
        if hasattr(plugin, "start_consul_container"):
            plugin.start_consul_container = _start
            others = [f"[{version}" for version in plugin.CONSUL_VERSIONS[1:]]
            items[:] = [item for item in items if not any(other in item.name for other in others)]


def pytest_sessionfinish() -> None:
    _agents.close()
    _last.close()
