"""urllib3: Patroni's own client, and what requests reports of it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from otel_consul.semconv import TimeoutKind
from otel_consul.transports import Transport, made_of
from otel_consul.transports.limits import UNKNOWN, Limits, limits
from otel_consul.transports.urllib3 import signals as urllib3_signals


def _limits(http: Any, params: Any, kwargs: Mapping[str, Any]) -> Limits:
    for value in vars(http).values():
        pool_options = getattr(value, "connection_pool_kw", None)
        if pool_options is not None:
            return of_timeout(pool_options.get("timeout", socket.getdefaulttimeout()))
    return UNKNOWN


def of_timeout(timeout: Any) -> Limits:
    """The limits a urllib3 `timeout` argument means: seconds, a `urllib3.Timeout`, or None."""
    if timeout is None or isinstance(timeout, (int, float)):
        return limits(timeout, timeout, None)
    # urllib3's `total` bounds connecting and the wait for each read, not a dripping answer: still per read.
    total = _seconds(timeout.total)
    try:
        read = _seconds(timeout.read_timeout)
    except Exception:  # noqa: BLE001 -- urllib3 cannot tell before it has connected; then `total` is the bound
        read = total
    return limits(_seconds(timeout.connect_timeout), read, None)


def _seconds(timeout: Any) -> float | None:
    if timeout is None or isinstance(timeout, (int, float)):
        return timeout
    return socket.getdefaulttimeout()  # urllib3's marker for "the default"


TRANSPORT = Transport(
    name="urllib3",
    owns=lambda http: made_of(http, "urllib3"),
    limits=_limits,
    timeouts={
        "urllib3.exceptions.ConnectTimeoutError": TimeoutKind.CONNECT,
        "urllib3.exceptions.ReadTimeoutError": TimeoutKind.READ,
        "urllib3.exceptions.EmptyPoolError": TimeoutKind.POOL,
    },
    keep_alive_advice="give the transport's PoolManager socket_options="
    "[*HTTPConnection.default_socket_options, (SOL_SOCKET, SO_KEEPALIVE, 1)]",
    watch=urllib3_signals.SIGNALS.watch,
    unwatch=urllib3_signals.unwatch,
    errors=frozenset({"urllib3.exceptions.NewConnectionError"}),  # in 1.26 a subclass of ConnectTimeoutError
)
