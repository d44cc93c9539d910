"""How aiohttp finds or makes a connection, as phase marks; see `signals` for the order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from otel_consul.phases import CURRENT, Clock
from otel_consul.semconv import Phase
from otel_consul.transports import qualified_name
from otel_consul.transports.signals import Switch

CONTEXT_FIRST: Final = sys.version_info >= (3, 15)
"""Whether asyncio copies the context for a connection before it makes the protocol: before 3.15, after."""

_current: Final = CURRENT.get
_making: Final[dict[int, Clock]] = {}
"""By the number of its task, a call that makes a connection and is not in its context meanwhile."""
_UNKNOWN_ERROR: Final = "_OTHER"
"""What OpenTelemetry calls an error whose type is not known."""


def socket_of(connection: Any) -> Any:
    """The socket below a connection of aiohttp's, if it has one."""
    return _extra_info(connection, "socket")


def _extra_info(connection: Any, name: str) -> Any:
    """What the transport of `connection` tells; None where there is none, or somebody's imitation of one that raises."""
    try:
        transport = connection.transport
        return None if transport is None else transport.get_extra_info(name)
    except Exception:  # noqa: BLE001
        return None


def connect(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    """Asking the pool for a connection."""

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
    clock.note_peer(_extra_info(result, "peername"))
    if (delay := clock.delay) is not None:
        delay.connected(clock, socket_of(result)) if clock.fresh else delay.waited(clock)
    clock.mark(Phase.SEND)
    clock.next_phase = None
    clock.why = _UNKNOWN_ERROR  # aiohttp sends again after errors that show nowhere else
    return result


def _back(clock: Clock) -> None:
    """Undo what `protocol` and `_creating` did to the context."""
    if clock.running and CURRENT.get() is None:
        CURRENT.set(clock)


def create_connection(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    """Making a new one."""

    def wrapper(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        clock = _current()
        if clock is not None and clock.running and switch.on:
            if (delay := clock.delay) is not None:
                delay.waited(clock)
            clock.mark(Phase.CONNECT)
            clock.next_phase = Phase.TLS if _sees_tls(req) else None
        return original(self, req, *args, **kwargs)

    return wrapper


def create_unix_connection(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    """Making a new one, to a socket in the file system."""
    return create_connection(create_transport(original, switch) if CONTEXT_FIRST else original, switch)


def create_transport(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    """Connecting and making the transport, which keeps the context of before; see `protocol`."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on and clock.task):
            return original(self, *args, **kwargs)
        return _creating(clock, original(self, *args, **kwargs))

    return wrapper


async def _creating(clock: Clock, transport: Awaitable[Any]) -> Any:
    task = clock.task
    _making[task] = clock
    CURRENT.set(None)
    try:
        return await transport
    except Exception:
        _back(clock)  # another address may be tried
        raise
    finally:
        del _making[task]


def get_ssl_context(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    """Loading certificates."""

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


def resolve_host(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    """Looking up a name."""

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


def _making_here() -> Clock | None:
    try:
        return _making.get(id(asyncio.current_task()))
    except RuntimeError:  # outside a loop
        return None


def protocol(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    """TCP is connected: asyncio makes the protocol."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        clock = _current()
        if clock is None and _making:
            clock = _making_here()
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
