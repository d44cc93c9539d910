"""twisted and treq: `consul.twisted` of python-consul, python-consul2 and py-consul up to 1.2.4.

These clients mask what happened: a refused connection becomes an AttributeError (they read ``e.message``), a lost or
cancelled one a ConsulException. What really happened is the exception they were raised from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_consul.semconv import TimeoutKind
from otel_consul.transports import Transport, made_of
from otel_consul.transports.limits import Limits, limits

DEFAULT_CONNECT_TIMEOUT: Final = 30.0
"""Seconds twisted's `HostnameEndpoint` gives a connection when the agent names none."""


def _limits(http: Any, params: Any, kwargs: Mapping[str, Any]) -> Limits:
    return limits(DEFAULT_CONNECT_TIMEOUT, None, None)


TRANSPORT = Transport(
    name="twisted",
    owns=lambda http: made_of(http, "treq") or made_of(http, "twisted"),
    limits=_limits,
    timeouts={
        "twisted.internet.error.TimeoutError": TimeoutKind.CONNECT,
        "twisted.internet.error.TCPTimedOutError": TimeoutKind.CONNECT,
        "twisted.internet.defer.TimeoutError": TimeoutKind.DEADLINE,
    },
)
