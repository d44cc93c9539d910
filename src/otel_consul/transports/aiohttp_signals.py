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

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from otel_consul.phases import CURRENT, Clock
from otel_consul.semconv import Phase
from otel_consul.transports import qualified_name
from otel_consul.transports.signals import Signals, Switch, Wrap

_current: Final = CURRENT.get
_UNKNOWN_ERROR: Final = "_OTHER"
"""What OpenTelemetry calls an error whose type is not known."""


def _connect(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, req: Any, traces: Any, timeout: Any) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on):
            return original(self, req, traces, timeout)
        task = id(asyncio.current_task(self._loop))  # without the loop Python 3.11 makes a system call
        if task != clock.task:
            if clock.task:
                # Somebody else's, sent with a copy of the call's context: in that none of it is the call's.
                CURRENT.set(None)
                return original(self, req, traces, timeout)
            clock.task = task
        return _connecting(clock, original(self, req, traces, timeout))

    return wrapper


async def _connecting(clock: Clock, connection: Awaitable[Any]) -> Any:
    if clock.why is not None:
        clock.next_try()
    clock.fresh = False  # until a protocol is made
    clock.mark(Phase.POOL)
    try:
        result = await connection
    except GeneratorExit:
        raise  # perhaps in somebody else's context
    except BaseException as exc:
        _back(clock)
        clock.failed(qualified_name(type(exc)))
        raise
    if clock.fresh:
        clock.opened += 1
        _back(clock)
    clock.reused = not clock.fresh
    _note_peer(clock, result)
    if (delay := clock.delay) is not None:
        delay.connected(clock, _socket(result)) if clock.fresh else delay.waited(clock)
    clock.mark(Phase.SEND)
    clock.next_phase = None
    clock.why = _UNKNOWN_ERROR  # aiohttp sends again after errors that show nowhere else
    return result


def _back(clock: Clock) -> None:
    """Undo what `_protocol` did to the context."""
    if clock.running and CURRENT.get() is None:
        CURRENT.set(clock)


def _create_connection(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        clock = _current()
        if clock is not None and clock.running and switch.on:
            if (delay := clock.delay) is not None:
                delay.waited(clock)
            clock.mark(Phase.CONNECT)
            clock.next_phase = Phase.TLS if _sees_tls(req) else None
        return original(self, req, *args, **kwargs)

    return wrapper


def _get_ssl_context(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        clock = _current()
        if clock is None or clock.next_phase != Phase.TLS or not switch.on:
            return original(self, *args, **kwargs)
        clock.mark(Phase.TLS)  # loading certificates takes its time
        result = original(self, *args, **kwargs)
        clock.mark(Phase.CONNECT)
        return result

    return wrapper


def _sees_tls(request: Any) -> bool:
    """Whether TLS is to come, and can be told from the TCP connection that comes before it."""
    try:
        secure = bool(request.is_ssl())
    except AttributeError:
        return False
    # Before 3.10 the event loop does both in one go, and only asyncio's own makes the protocol in between.
    return secure and (
        hasattr(sys.modules.get("aiohttp.connector"), "aiohappyeyeballs")
        or isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    )


def _resolve_host(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on):
            return original(self, *args, **kwargs)
        clock.mark(Phase.DNS)
        return _resolving(clock, original(self, *args, **kwargs))

    return wrapper


async def _resolving(clock: Clock, addresses: Awaitable[Any]) -> Any:
    result = await addresses
    if clock.phase == Phase.DNS:  # aiohttp 3.8 and 3.9 resolve in a task that outlives a call that was cancelled
        if (delay := clock.delay) is not None:
            delay.waited(clock)
        clock.mark(Phase.CONNECT)
    return result


def _protocol(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        clock = _current()
        if clock is not None and clock.running and switch.on:
            clock.fresh = True
            if clock.next_phase == Phase.TLS:
                if (delay := clock.delay) is not None:
                    delay.waited(clock)
                clock.mark(Phase.TLS)
            # The transport made next keeps a copy of the context for as long as the connection lives: it must not
            # keep this call alive, nor show it to the calls after. `_connecting` sets it again.
            CURRENT.set(None)
        original(self, *args, **kwargs)

    return wrapper


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
        delay.sent(clock, _socket(connection))
    if clock.next_phase != Phase.WAIT:
        clock.mark(Phase.WAIT)
    try:
        result = await started
    except BaseException as exc:
        clock.failed(qualified_name(type(exc)))
        raise
    clock.next_phase = None
    if (delay := clock.delay) is not None:
        delay.answering(clock)
    clock.mark(Phase.RECEIVE)
    clock.why = getattr(response, "status", None)
    return result


def _socket(connection: Any) -> Any:
    transport = getattr(connection, "transport", None)
    return None if transport is None else transport.get_extra_info("socket")


def _note_peer(clock: Clock, connection: Any) -> None:
    transport = getattr(connection, "transport", None)
    peer = transport.get_extra_info("peername") if transport is not None else None
    if isinstance(peer, tuple):
        clock.peer = peer[:2]
    elif isinstance(peer, str) and peer:
        clock.peer = (peer,)
    else:
        clock.peer = None


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
    Wrap(_CONNECTOR, "BaseConnector.connect", _connect),
    Wrap(_CONNECTOR, "TCPConnector._create_connection", _create_connection),
    Wrap(_CONNECTOR, "UnixConnector._create_connection", _create_connection),
    Wrap(_CONNECTOR, "TCPConnector._get_ssl_context", _get_ssl_context),
    Wrap(_CONNECTOR, "TCPConnector._resolve_host", _resolve_host),
    Wrap("aiohttp.client_proto", "ResponseHandler.__init__", _protocol),
    Wrap(_MESSAGES, "ClientRequest.write_bytes", _write_bytes),
    Wrap(_MESSAGES, "ClientResponse.start", _start),
    Wrap(_MESSAGES, "ClientResponse.read", _read),
)
