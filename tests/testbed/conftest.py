"""Fixtures for the tests of the testbed itself."""

from __future__ import annotations

import os

import pytest

from testbed.consul import Unavailable, find_consul


@pytest.fixture(scope="session")
def real_consul() -> None:
    """Skips the test where there is no Consul, or fails it where there must be one."""
    try:
        find_consul()
    except Unavailable as error:
        if os.environ.get("OTEL_CONSUL_REQUIRE_CONSUL"):
            raise
        pytest.skip(f"no Consul here: {error}")
