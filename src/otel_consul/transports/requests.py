"""requests: py-consul, python-consul, python-consul2 (`consul.std`) and consulate."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from otel_consul.semconv import TimeoutKind
from otel_consul.transports import Transport, made_of
from otel_consul.transports.limits import UNKNOWN, Limits, limits


def _limits(http: Any, params: Any, kwargs: Mapping[str, Any]) -> Limits:
    # py-consul 1.8 has a method `timeout(params)`; python-consul2 and consulate an attribute; the rest nothing.
    timeout = getattr(http, "timeout", None)
    if callable(timeout):
        timeout = timeout(params)
    if timeout is None:
        return UNKNOWN if _own_adapter(http) else limits(None, None, None)
    if isinstance(timeout, tuple):
        connect, read = timeout
        return limits(connect, read, None)
    return limits(timeout, timeout, None)


def _own_adapter(http: Any) -> bool:
    """Whether the session has an adapter with a `send` of its own: it may well set a time-out there."""
    adapters = sys.modules.get("requests.adapters")
    session = getattr(http, "session", None)
    if adapters is None or session is None:
        return False
    return any(type(adapter).send is not adapters.HTTPAdapter.send for adapter in session.adapters.values())


TRANSPORT = Transport(
    name="requests",
    owns=lambda http: made_of(http, "requests") or made_of(http, "requests_unixsocket"),
    future=False,
    limits=_limits,
    timeouts={
        "requests.exceptions.ConnectTimeout": TimeoutKind.CONNECT,
        "requests.exceptions.ReadTimeout": TimeoutKind.READ,
    },
    keep_alive_advice="mount an HTTPAdapter on the client's session whose init_poolmanager passes socket_options="
    "[*HTTPConnection.default_socket_options, (SOL_SOCKET, SO_KEEPALIVE, 1)]",
)
