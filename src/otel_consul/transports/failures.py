"""How a call ended that raised an exception.

Time-outs are known by the qualified names of exception classes, which the files in `transports` list: so no HTTP
library is imported to recognise its exceptions.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from otel_consul.semconv import Outcome, TimeoutKind
from otel_consul.transports import discover, qualified_name
from otel_consul.transports.limits import Limits


class Failure(NamedTuple):
    """What an exception means for the call it ended."""

    outcome: str
    """`error`, `timeout` or `cancelled`."""
    error_type: str
    """The status of the answer that failed the call; else the qualified name of the class of `cause`, builtins without their
    module."""
    kind: str | None
    """Which time-out struck; None if none did, or where it cannot be told."""
    cause: BaseException
    """What really happened, where the client masks it; else the exception itself."""


_TIMEOUTS: Final[dict[str, str]] = {
    # raised into a call by whoever set the alarm: the caller's own deadline
    "gevent.timeout.Timeout": TimeoutKind.DEADLINE,
    "eventlet.timeout.Timeout": TimeoutKind.DEADLINE,
    "builtins.TimeoutError": "",
}
_ERRORS: Final[set[str]] = set()
for _transport in discover():
    _TIMEOUTS.update(_transport.timeouts)
    _ERRORS.update(_transport.errors)

_CANCELLED: Final = frozenset(
    {
        "trio.Cancelled",
        "twisted.internet.defer.CancelledError",
        "greenlet.GreenletExit",
        "gevent.GreenletExit",
    }
)
_MASKING_MODULES: Final = frozenset({"consul", "builtins"})
_MASKED_MODULES: Final = frozenset({"tornado", "twisted"})
_FIRST_ERROR: Final = 400
_LAST_ERROR: Final = 598
"""tornado's 599 is no answer's."""
_DEPTH: Final = 5
"""How far to follow a chain of nested exceptions."""


def of_exception(exc: BaseException, limits: Limits, elapsed: float, status: Any = None) -> Failure:
    """What `exc`, raised by the transport or its callback after `elapsed` seconds, means for the call.

    `status` is that of the last answer, if there was one: with an error's, it is what the client made an exception of.
    """
    cause = _unmask(exc)
    error_type = qualified_name(type(cause))
    if _is_cancellation(cause):
        return Failure(Outcome.CANCELLED, error_type, None, cause)
    for nested in _chain(cause):
        kind = _timeout_kind(type(nested))  # type: ignore[arg-type]
        if kind is not None:
            return Failure(Outcome.TIMEOUT, error_type, kind or _told_by(nested, limits, elapsed), cause)
    if type(status) is not int:
        status = getattr(cause, "code", None)  # tornado's HTTPError, which its client raises in an answer's place
    if type(status) is int and _FIRST_ERROR <= status <= _LAST_ERROR and not _broke_off(cause):
        error_type = str(status)
    return Failure(Outcome.ERROR, error_type, None, cause)


def _broke_off(exc: BaseException) -> bool:
    """Whether the connection failed, and not the answer: urllib3 says of the latter that it gives up because of answers."""
    return isinstance(exc, OSError) and not any(type(one).__name__ == "ResponseError" for one in _chain(exc))


def _is_cancellation(exc: BaseException) -> bool:
    if isinstance(exc, (asyncio.CancelledError, concurrent.futures.CancelledError, KeyboardInterrupt, GeneratorExit)):
        return True
    if qualified_name(type(exc)) in _CANCELLED:
        return True
    # twisted: ResponseNeverReceived([Failure(CancelledError)])
    reasons = getattr(exc, "reasons", None)
    return isinstance(reasons, (list, tuple)) and any(
        qualified_name(getattr(reason, "type", None) or type(reason)) in _CANCELLED for reason in reasons
    )


def _unmask(exc: BaseException) -> BaseException:
    """The tornado or twisted exception that `consul.tornado` and `consul.twisted` raised `exc` from, else `exc`."""
    if type(exc).__module__.partition(".")[0] not in _MASKING_MODULES:
        return exc
    inner = exc.__cause__ or exc.__context__
    if inner is not None and type(inner).__module__.partition(".")[0] in _MASKED_MODULES:
        return inner
    return exc


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """`exc` and what requests and urllib3 wrap in it: their first argument, or a `reason`."""
    nested: Any = exc
    for _ in range(_DEPTH):
        yield nested
        inner = getattr(nested, "reason", None)
        if not isinstance(inner, BaseException):
            inner = nested.args[0] if nested.args else None
        if not isinstance(inner, BaseException):
            return
        nested = inner


@lru_cache(maxsize=512)
def _timeout_kind(cls: type) -> str | None:
    """The kind of time-out exceptions of this class are, "" where that depends, None if they are none."""
    for base in cls.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if name in _ERRORS:
            return None
        if name in _TIMEOUTS:
            return _TIMEOUTS[name]
    return None


def _told_by(exc: BaseException, limits: Limits, elapsed: float) -> str | None:
    """The kind of a bare TimeoutError: the transport's total if that is up, else whoever set one around the call."""
    if type(exc).__name__ == "ServerTimeoutError":  # aiohttp before 3.10 has one class for both
        return TimeoutKind.CONNECT if str(exc).startswith("Connection timeout") else TimeoutKind.READ
    if limits.total is not None and elapsed >= limits.total * 0.95:
        return TimeoutKind.TOTAL
    return None if limits.deadline is None else TimeoutKind.DEADLINE
