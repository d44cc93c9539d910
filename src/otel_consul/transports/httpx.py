"""httpx, below transports that users wrote themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_consul.semconv import TimeoutKind
from otel_consul.transports import Transport, made_of
from otel_consul.transports.limits import UNKNOWN, Limits, limits


def _limits(http: Any, params: Any, kwargs: Mapping[str, Any]) -> Limits:
    for value in vars(http).values():
        timeout: Any = getattr(value, "timeout", None)
        if hasattr(timeout, "connect") and hasattr(timeout, "read"):
            return limits(timeout.connect, timeout.read, None)
    return UNKNOWN


TRANSPORT = Transport(
    name="httpx",
    owns=lambda http: made_of(http, "httpx"),
    limits=_limits,
    timeouts={
        "httpx.ConnectTimeout": TimeoutKind.CONNECT,
        "httpx.ReadTimeout": TimeoutKind.READ,
        "httpx.WriteTimeout": TimeoutKind.READ,
        "httpx.PoolTimeout": TimeoutKind.POOL,
    },
)
