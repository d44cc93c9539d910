"""`driver`: every driver that can be used here, of the styles that a module lists in `STYLES`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import drivers
from tests.clients.drivers import Driver


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" in metafunc.fixturenames:
        styles = metafunc.module.STYLES
        usable = [d for d in drivers.available() if d.style in styles and "plain-object" not in d.name]
        metafunc.parametrize("driver", usable, ids=lambda d: d.name, indirect=True)


@pytest.fixture
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    driver: Driver = request.param()
    yield driver
    driver.shutdown()


@pytest.fixture
def std() -> Driver:
    """The driver of `consul.std`, whichever distribution gives it."""
    for driver in drivers.available():
        if driver.name.endswith("/std"):
            return driver()
    pytest.skip("no consul.std here")
