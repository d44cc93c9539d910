"""How a call ended, told from what was raised."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

import pytest

from otel_consul.semconv import Outcome, TimeoutKind
from otel_consul.transports import failures, qualified_name
from otel_consul.transports.limits import limits

NO_LIMIT = limits(None, None, None)
TOTAL = limits(None, None, 2.0)


def made(name: str, *bases: type, **members: Any) -> type[BaseException]:
    """An exception class with this qualified name, as its library would have it."""
    module, _, qualname = name.rpartition(".")
    return type(qualname, bases or (Exception,), {"__module__": module, **members})


READ_TIMEOUT = made("requests.exceptions.ReadTimeout")
CONNECT_TIMEOUT = made("requests.exceptions.ConnectTimeout")
URLLIB3_READ = made("urllib3.exceptions.ReadTimeoutError")
URLLIB3_NEW = made("urllib3.exceptions.NewConnectionError", made("urllib3.exceptions.ConnectTimeoutError"))
EMPTY_POOL = made("urllib3.exceptions.EmptyPoolError")
CONNECTION_ERROR = made("requests.exceptions.ConnectionError")
MAX_RETRY = made("urllib3.exceptions.MaxRetryError")


def with_reason(exc: BaseException, reason: BaseException) -> BaseException:
    exc.reason = reason  # type: ignore[attr-defined]
    return exc


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (READ_TIMEOUT("x"), TimeoutKind.READ),
        (CONNECT_TIMEOUT("x"), TimeoutKind.CONNECT),
        (made("mine.Sub", READ_TIMEOUT)("x"), TimeoutKind.READ),
        # the body of a dripping answer: requests wraps what urllib3 raises
        (CONNECTION_ERROR(URLLIB3_READ("x")), TimeoutKind.READ),
        (CONNECTION_ERROR(with_reason(MAX_RETRY("x"), URLLIB3_READ("x"))), TimeoutKind.READ),
        (EMPTY_POOL("x"), TimeoutKind.POOL),
        (made("tornado.simple_httpclient.HTTPTimeoutError")(), TimeoutKind.TOTAL),
        (made("gevent.timeout.Timeout", BaseException)(), TimeoutKind.DEADLINE),
        (TimeoutError(), TimeoutKind.DEADLINE),
    ],
)
def test_timeout(exc: BaseException, kind: str | None) -> None:
    failure = failures.of_exception(exc, NO_LIMIT, 1.0)

    assert failure.outcome == Outcome.TIMEOUT
    assert failure.kind == kind or kind is None
    assert failure.error_type == qualified_name(type(exc))
    assert failure.cause is exc


def test_bare_timeout_is_the_transports_total_only_when_that_is_up() -> None:
    assert failures.of_exception(TimeoutError(), TOTAL, 2.01).kind == TimeoutKind.TOTAL
    assert failures.of_exception(TimeoutError(), TOTAL, 0.5).kind == TimeoutKind.DEADLINE
    assert failures.of_exception(TimeoutError(), limits(None, None, None), 0.5).kind == TimeoutKind.DEADLINE


@pytest.mark.parametrize(
    "exc",
    [
        CONNECTION_ERROR(with_reason(MAX_RETRY("x"), URLLIB3_NEW("refused"))),
        ConnectionRefusedError(111, "x"),
        ConnectionResetError(104, "x"),
        ValueError("bad JSON"),
        made("consul.exceptions.ConsulException")("500 i/o timeout"),
        made("consul.base.Timeout")("599 connection closed"),  # tornado's, without the exception it was raised from
        SystemExit(1),
        MemoryError(),
    ],
)
def test_error(exc: BaseException) -> None:
    failure = failures.of_exception(exc, TOTAL, 1.0)

    assert failure == (Outcome.ERROR, qualified_name(type(exc)), None, exc)


class Reason:
    def __init__(self, kind: type) -> None:
        self.type = kind


TWISTED_CANCEL = made("twisted.internet.defer.CancelledError")
NEVER = made("twisted.web._newclient.ResponseNeverReceived")


@pytest.mark.parametrize(
    "exc",
    [
        asyncio.CancelledError(),
        concurrent.futures.CancelledError(),
        KeyboardInterrupt(),
        GeneratorExit(),
        TWISTED_CANCEL(),
        made("trio.Cancelled", BaseException)(),
        made("greenlet.GreenletExit", BaseException)(),
    ],
)
def test_cancellation(exc: BaseException) -> None:
    assert failures.of_exception(exc, NO_LIMIT, 1.0).outcome == Outcome.CANCELLED


def test_cancellation_that_twisted_wraps() -> None:
    exc = NEVER([])
    exc.reasons = [Reason(TWISTED_CANCEL)]  # type: ignore[attr-defined]
    assert failures.of_exception(exc, NO_LIMIT, 1.0).outcome == Outcome.CANCELLED
    exc.reasons = [Reason(ValueError)]  # type: ignore[attr-defined]
    assert failures.of_exception(exc, NO_LIMIT, 1.0).outcome == Outcome.ERROR


def test_what_a_client_masks_is_unmasked() -> None:
    """`AttributeError: … no attribute 'message'` is what python-consul makes of twisted's ConnectError."""
    refused = made("twisted.internet.error.ConnectionRefusedError")("refused")
    masked = AttributeError("no attribute 'message'")
    masked.__context__ = refused
    failure = failures.of_exception(masked, NO_LIMIT, 1.0)
    assert (failure.outcome, failure.error_type) == (Outcome.ERROR, "twisted.internet.error.ConnectionRefusedError")
    assert failure.cause is refused

    slow = made("tornado.simple_httpclient.HTTPTimeoutError")()
    timeout = made("consul.base.Timeout")()
    timeout.__cause__ = slow
    assert failures.of_exception(timeout, NO_LIMIT, 1.0).outcome == Outcome.TIMEOUT


def test_what_the_application_was_handling_is_not_taken_for_the_cause() -> None:
    """An application may call Consul while it handles an exception of its own HTTP library."""
    mine = made("myapp.Error")("x")
    mine.__context__ = made("tornado.simple_httpclient.HTTPTimeoutError")()
    failure = failures.of_exception(mine, NO_LIMIT, 1.0)
    assert (failure.outcome, failure.error_type) == (Outcome.ERROR, "myapp.Error")


def test_chain_that_bites_its_tail_ends() -> None:
    exc = made("requests.exceptions.ConnectionError")("x")
    exc.args = (exc,)
    assert failures.of_exception(exc, NO_LIMIT, 1.0).outcome == Outcome.ERROR


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (ValueError, "ValueError"),
        (asyncio.CancelledError, "asyncio.exceptions.CancelledError"),
        (READ_TIMEOUT, "requests.exceptions.ReadTimeout"),
    ],
)
def test_qualified_name(cls: type, name: str) -> None:
    assert qualified_name(cls) == name
