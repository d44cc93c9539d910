"""aiohttp: `consul.aio` of py-consul, python-consul and python-consul2."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from otel_consul.semconv import TimeoutKind
from otel_consul.transports import Transport, made_of
from otel_consul.transports.aiohttp import signals as aiohttp_signals
from otel_consul.transports.limits import UNKNOWN, Limits, limits


def _owns(http: Any) -> bool:
    # python-consul2 has no session before its first call, so the class's module must do.
    return any(base.__module__ == "consul.aio" for base in type(http).__mro__) or made_of(http, "aiohttp")


def _limits(http: Any, params: Any, kwargs: Mapping[str, Any]) -> Limits:
    own = kwargs.get("connections_timeout")
    if own:  # py-consul's per-call option becomes ClientTimeout(total=...)
        return limits(None, None, own)
    session = getattr(http, "_session", None) or getattr(http, "session", None)
    timeout = getattr(session, "timeout", None)
    if timeout is None:  # a session per call, made with aiohttp's defaults
        timeout = getattr(sys.modules.get("aiohttp.client"), "DEFAULT_TIMEOUT", None)
    if timeout is None:
        return UNKNOWN
    connect = timeout.sock_connect if timeout.sock_connect is not None else timeout.connect
    return limits(connect, timeout.sock_read, timeout.total or None)


TRANSPORT = Transport(
    name="aiohttp",
    owns=_owns,
    lazy=True,
    limits=_limits,
    timeouts={
        "aiohttp.client_exceptions.ConnectionTimeoutError": TimeoutKind.CONNECT,
        "aiohttp.client_exceptions.SocketTimeoutError": TimeoutKind.READ,
        "aiohttp.client_exceptions.ServerTimeoutError": "",
        "builtins.TimeoutError": "",
        "asyncio.exceptions.TimeoutError": "",
    },
    keep_alive_advice="give its aiohttp.TCPConnector a socket_factory that sets SO_KEEPALIVE (aiohttp 3.12 or newer)",
    watch=aiohttp_signals.SIGNALS.watch,
    unwatch=aiohttp_signals.SIGNALS.unwatch,
)
