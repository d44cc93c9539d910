"""What the last span says was lost inside this process."""

from __future__ import annotations

from typing import Any

from otel_consul.semconv import LOCAL_DELAY_ATTRIBUTES
from tests.support.telemetry import Telemetry

_LOADED: float = 0.05
"""Seconds that a loaded machine loses at any time."""


def causes(telemetry: Telemetry) -> dict[str, Any]:
    """Seconds by cause, those that have any."""
    attributes = dict(telemetry.spans[-1].attributes or {})
    return {name.rpartition(".")[2]: attributes[name] for name in LOCAL_DELAY_ATTRIBUTES if name in attributes}


def blamed(telemetry: Telemetry) -> dict[str, Any]:
    """As `causes`, but for what a test did not do: little things, and collections, which come when they like."""
    return {cause: seconds for cause, seconds in causes(telemetry).items() if cause != "gc" and seconds > _LOADED}
