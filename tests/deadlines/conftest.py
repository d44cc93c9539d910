"""What several of these files need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def timeouts_noted() -> Iterator[None]:
    """Deadlines are noted, as while the plugin is on."""
    from otel_consul.deadlines import timeouts

    timeouts.apply()
    yield
    timeouts.remove()
