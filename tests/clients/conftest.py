"""Every test here that asks for `driver` runs once per client and transport installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import drivers
from tests.clients.drivers import Driver


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" not in metafunc.fixturenames:
        return
    styles = metafunc.definition.get_closest_marker("styles")
    usable = [d for d in drivers.available() if styles is None or d.style in styles.args]
    metafunc.parametrize("driver", usable, indirect=True, ids=[d.name for d in usable])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "styles(*names): only drivers of these styles")


@pytest.fixture
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """One way to call Consul."""
    driver: Driver = request.param()
    yield driver
    driver.shutdown()
