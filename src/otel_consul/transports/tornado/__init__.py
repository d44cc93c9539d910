"""tornado: `consul.tornado` of python-consul, python-consul2 and py-consul up to 1.2.4.

These clients turn every tornado status 599 into `consul.Timeout`, a closed connection too. What really happened is
the exception it was raised from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_consul.semconv import TimeoutKind
from otel_consul.transports import Transport, made_of
from otel_consul.transports.limits import UNKNOWN, Limits, limits
from otel_consul.transports.tornado import signals as tornado_signals


def _limits(http: Any, params: Any, kwargs: Mapping[str, Any]) -> Limits:
    defaults = getattr(getattr(http, "client", None), "defaults", None)
    if defaults is None:
        return UNKNOWN
    return limits(defaults.get("connect_timeout") or None, None, defaults.get("request_timeout") or None)


TRANSPORT = Transport(
    name="tornado",
    owns=lambda http: made_of(http, "tornado"),
    limits=_limits,
    watch=tornado_signals.SIGNALS.watch,
    unwatch=tornado_signals.SIGNALS.unwatch,
    timeouts={"tornado.simple_httpclient.HTTPTimeoutError": TimeoutKind.TOTAL},
)
