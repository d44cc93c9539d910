"""What aiohttp does below `consul.aio`, as phase marks. 3.8 to 3.14.

A try goes through these, in this order (in brackets: only where a connection is new)::

    BaseConnector.connect               pool
    [TCPConnector._create_connection    connect]
    [TCPConnector._resolve_host         dns -> connect]
    [ResponseHandler()                  tls, where TLS is to come: asyncio makes the protocol once TCP is connected]
    (connect returns)                   send
    ClientRequest.write_bytes           send, however long the body takes, while the answer is already awaited
    ClientResponse.start                wait -> receive: the head is here
    ClientResponse.read                 decode: the body is here

Not by `TraceConfig`: a session has its own list of those, sessions exist before `instrument()`, python-consul2 makes one
for each call, aiohttp does work for each of them (it builds the URL anew) in everybody's requests, and none of them
tells TLS from TCP.

Through a proxy, its CONNECT request counts as `tls`. On uvloop with aiohttp before 3.10, which connect and shake hands
in one go there, both are `connect`. Where the first of several addresses fails in its handshake, the rest is `tls`.

`wait` lasts until the event loop has handed on the whole head; where something blocks the loop, `local_delay` says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from otel_consul.phases import CURRENT, Clock
from otel_consul.semconv import Phase
from otel_consul.transports import qualified_name
from otel_consul.transports.aiohttp.connecting import (
    CONTEXT_FIRST,
    connect,
    create_connection,
    create_transport,
    create_unix_connection,
    get_ssl_context,
    protocol,
    resolve_host,
    socket_of,
)
from otel_consul.transports.signals import Signals, Switch, Wrap

_current: Final = CURRENT.get
_UNKNOWN_ERROR: Final = "_OTHER"
"""What OpenTelemetry calls an error whose type is not known."""


def _write_bytes(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        clock = _current()
        # Before 3.11 there is a task for a body of nothing too; the request has left by then.
        if clock is None or not (clock.running and switch.on) or not getattr(self, "body", True):
            return original(self, *args, **kwargs)
        return _sending(clock, original(self, *args, **kwargs))

    return wrapper


async def _sending(clock: Clock, written: Awaitable[Any]) -> Any:
    """Runs in a task of its own, before or after `ClientResponse.start` begins to wait for the answer."""
    clock.next_phase = Phase.WAIT
    if clock.phase == Phase.WAIT:
        if (delay := clock.delay) is not None:
            delay.waited(clock)
        clock.mark(Phase.SEND)
    try:
        return await written
    finally:
        if clock.next_phase == Phase.WAIT:
            clock.next_phase = None
            if clock.phase == Phase.SEND:
                clock.mark(Phase.WAIT)


def _start(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, connection: Any) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on):
            return original(self, connection)
        return _starting(clock, self, connection, original(self, connection))

    return wrapper


async def _starting(clock: Clock, response: Any, connection: Any, started: Awaitable[Any]) -> Any:
    if (delay := clock.delay) is not None:
        delay.sent(clock, socket_of(connection))
    if clock.next_phase != Phase.WAIT:
        clock.mark(Phase.WAIT)
    try:
        result = await started
    except BaseException as exc:
        if not isinstance(exc, GeneratorExit) and (delay := clock.delay) is not None:
            delay.unanswered(clock)
        clock.failed(qualified_name(type(exc)))
        raise
    clock.next_phase = None
    if (delay := clock.delay) is not None:
        delay.answering(clock)
    clock.mark(Phase.RECEIVE)
    clock.why = getattr(response, "status", None)
    return result


def _read(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on):
            return original(self)
        return _reading(clock, original(self))

    return wrapper


async def _reading(clock: Clock, body: Awaitable[Any]) -> Any:
    result = await body
    if (delay := clock.delay) is not None:
        delay.received(clock, len(result) if result else 0)
    clock.mark(Phase.DECODE)
    return result


_CONNECTOR: Final = "aiohttp.connector"
_MESSAGES: Final = "aiohttp.client_reqrep"

SIGNALS: Final = Signals(
    Wrap(_CONNECTOR, "BaseConnector.connect", connect),
    Wrap(_CONNECTOR, "TCPConnector._create_connection", create_connection),
    Wrap(_CONNECTOR, "UnixConnector._create_connection", create_unix_connection),
    Wrap(_CONNECTOR, "TCPConnector._get_ssl_context", get_ssl_context),
    Wrap(_CONNECTOR, "TCPConnector._resolve_host", resolve_host),
    *([Wrap(_CONNECTOR, "TCPConnector._wrap_create_connection", create_transport)] if CONTEXT_FIRST else []),
    Wrap("aiohttp.client_proto", "ResponseHandler.__init__", protocol),
    Wrap(_MESSAGES, "ClientRequest.write_bytes", _write_bytes),
    Wrap(_MESSAGES, "ClientResponse.start", _start),
    Wrap(_MESSAGES, "ClientResponse.read", _read),
)
