"""What urllib3 does below requests, consulate, Patroni or a program's own client, as phase marks. 1.26 and 2.

A try goes through these, in this order (in brackets: only where a connection is new)::

    HTTPConnectionPool._get_conn    pool
    [HTTPConnection.connect         connect -> dns -> connect -> tls]
    (http.client writes)            send
    HTTPConnection.getresponse      wait
    assert_header_parsing           receive: the head is here
    HTTPResponse.release_conn       decode: the body is here

`wait` lasts until the whole head has come: http.client does not say when its first byte did. Through a proxy `connect`
includes the CONNECT request. TLS set-up (loading certificates) counts as `tls`.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any, Final

from otel_consul.background.os_threads import get_ident
from otel_consul.phases import CURRENT, Clock
from otel_consul.semconv import Phase
from otel_consul.transports import qualified_name
from otel_consul.transports.signals import Signals, Switch, Wrap

POOL: Final = Phase.POOL
DNS: Final = Phase.DNS
CONNECT: Final = Phase.CONNECT
TLS: Final = Phase.TLS
SEND: Final = Phase.SEND
WAIT: Final = Phase.WAIT
RECEIVE: Final = Phase.RECEIVE
DECODE: Final = Phase.DECODE
OTHER: Final = Phase.OTHER
_current: Final = CURRENT.get
_peers: Final[dict[int, tuple[weakref.ref[Any], Any]]] = {}
"""By id(socket), what it is connected to: asking the kernel for every request would cost more than all marks."""


def _get_conn(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, timeout: Any = None) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on):
            return original(self, timeout)
        if clock.waiter != get_ident() and (clock.task or type(clock.waiter) is int):
            # Somebody else's, sent with a copy of the call's context: in that none of it is the call's.
            CURRENT.set(None)
            return original(self, timeout)
        if clock.why is not None:
            clock.next_try()
        clock.mark(POOL)
        connection = original(self, timeout)
        clock.fresh = fresh = getattr(connection, "sock", None) is None
        # A class of its own, for a unix socket say, may connect without our knowing.
        clock.mark(CONNECT if fresh else SEND)
        return connection

    return wrapper


def _connect(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on):
            return original(self)
        clock.mark(CONNECT)
        result = original(self)
        if (delay := clock.delay) is not None:
            delay.connected(clock, getattr(self, "sock", None))
        clock.mark(SEND)
        return result

    return wrapper


def _marking(phase: int, then: int | None = None) -> Callable[..., Any]:
    """A wrapper for a step of its own: the function runs in `phase`, what follows it in `then`."""

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            clock = _current()
            if clock is None or not (clock.running and switch.on):
                return original(*args, **kwargs)
            clock.mark(phase)
            result = original(*args, **kwargs)
            if then is not None:
                clock.mark(then)
            return result

        return wrapper

    return make


def _ssl_wrap_socket(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        clock = _current()
        if clock is None or not switch.on:
            return original(*args, **kwargs)
        clock.mark(TLS)
        result = original(*args, **kwargs)
        if (delay := clock.delay) is not None:
            delay.connected(clock, result)
        clock.mark(CONNECT)
        return result

    return wrapper


def _getresponse(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on):
            return original(self)
        sock = getattr(self, "sock", None)
        if (delay := clock.delay) is not None:
            delay.sent(clock, sock)
        clock.mark(WAIT)
        _note_connection(clock, sock)
        try:
            response = original(self)
        except BaseException:
            if clock.phase == WAIT and (delay := clock.delay) is not None:
                delay.unanswered(clock)
            raise
        if clock.phase == WAIT:  # else the head was seen, and in urllib3 2 perhaps the body too
            if (delay := clock.delay) is not None:
                delay.answering(clock)
            clock.mark(RECEIVE)
        clock.why = getattr(response, "status", None)
        return response

    return wrapper


def _note_connection(clock: Clock, sock: Any) -> None:
    if sock is None:
        return
    try:
        if clock.fresh is not None:
            clock.reused = not clock.fresh
            if clock.fresh:
                clock.opened += 1
        key = id(sock)
        known = _peers.get(key)
        if known is not None and known[0]() is sock:
            clock.peer = known[1]
            return
        clock.note_peer(sock.getpeername())
        _peers[key] = (weakref.ref(sock, lambda _: _peers.pop(key, None)), clock.peer)
    except Exception:  # noqa: BLE001 -- reset already, or somebody's imitation of a socket, which may raise anything
        clock.peer = None


def _head(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(headers: Any) -> Any:
        clock = _current()
        if clock is not None and clock.running and switch.on:
            if (delay := clock.delay) is not None:
                delay.answering(clock)
            clock.mark(RECEIVE)
        return original(headers)

    return wrapper


def _release_conn(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any) -> Any:
        clock = _current()
        # The end of a body that broke off passes here too, and is no end of receiving: the error struck in it.
        # The connection of a body that ended well may be released twice.
        if (
            clock is not None
            and clock.running
            and clock.phase != DECODE
            and switch.on
            and (sys.exc_info()[0] is None or _alive(self))
        ):
            if (delay := clock.delay) is not None:
                delay.received(clock)
            clock.mark(DECODE)
        return original(self)

    return wrapper


def _alive(response: Any) -> bool:
    """Whether the connection below `response` is still open; it is closed first where a body breaks off."""
    return getattr(getattr(response, "connection", None), "sock", None) is not None


def _increment(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on):
            return original(self, *args, **kwargs)
        error = kwargs.get("error")
        if error is not None:
            clock.failed(qualified_name(type(error)))
        result = original(self, *args, **kwargs)  # raises where there is no further try
        if error is not None:
            clock.mark(OTHER)
        return result

    return wrapper


_POOLS: Final = "urllib3.connectionpool"
_CONNECTIONS: Final = "urllib3.connection"
_SOCKETS: Final = "urllib3.util.connection"
_RETRIES: Final = "urllib3.util.retry"

SIGNALS: Final = Signals(
    Wrap(_POOLS, "HTTPConnectionPool._get_conn", _get_conn),
    Wrap(_CONNECTIONS, "HTTPConnection.connect", _connect),
    Wrap(_CONNECTIONS, "HTTPSConnection.connect", _connect),
    # `create_connection` asks the first just before it resolves, and calls the second for each address before connecting.
    Wrap(_SOCKETS, "allowed_gai_family", _marking(DNS)),
    Wrap(_SOCKETS, "_set_socket_options", _marking(CONNECT)),
    Wrap(_CONNECTIONS, "create_urllib3_context", _marking(TLS)),
    Wrap(_CONNECTIONS, "ssl_wrap_socket", _ssl_wrap_socket),
    Wrap(_CONNECTIONS, "HTTPConnection.getresponse", _getresponse),
    Wrap(_CONNECTIONS, "assert_header_parsing", _head, optional=True),  # 1.26 reads bodies after `getresponse`
    Wrap("urllib3.response", "HTTPResponse.release_conn", _release_conn),
    Wrap(_RETRIES, "Retry.increment", _increment),
    Wrap(_RETRIES, "Retry.sleep", _marking(Phase.BACKOFF, OTHER)),
    Wrap(_RETRIES, "Retry.sleep_for_retry", _marking(Phase.BACKOFF)),  # within `sleep`
)


def unwatch() -> None:
    """Take the signals away, and forget whom sockets are connected to."""
    SIGNALS.unwatch()
    _peers.clear()
