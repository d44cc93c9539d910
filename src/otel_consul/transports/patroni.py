"""Patroni's own transport over urllib3, `patroni.dcs.consul.HTTPClient`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_consul.semconv import DEFAULT_WAIT
from otel_consul.transports import Transport
from otel_consul.transports.limits import Limits, limits


def _limits(http: Any, params: Any, kwargs: Mapping[str, Any]) -> Limits:
    # Patroni gives a blocking query its wait and a fifteenth, at least a second; everything else a third of
    # its retry_timeout. It passes one number to urllib3: that is for connecting and for each read.
    asked = dict(params) if params else {}
    if "index" in asked:
        wait = float(asked["wait"][:-1]) if "wait" in asked else DEFAULT_WAIT
        timeout = wait + max(wait / 15, 1)
    else:
        timeout = http._read_timeout
    return limits(timeout, timeout, None)


TRANSPORT = Transport(
    name="patroni",
    owns=lambda http: type(http).__module__ == "patroni.dcs.consul" and hasattr(http, "_read_timeout"),
    future=False,
    limits=_limits,
)
