"""How a call ended: what its span and its data point say of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from otel_consul import redact, semconv
from otel_consul.consul_api import outcome
from otel_consul.consul_api.operations import Operation
from otel_consul.deadlines import cancellation
from otel_consul.semconv import PHASES, CancelReason, Outcome, TimeoutKind
from otel_consul.transports import failures
from otel_consul.transports.limits import Limits


class Result(NamedTuple):
    """How a call ended, for its span and its data point."""

    outcome: str
    error_type: str | None = None
    description: str | None = None
    events: tuple[tuple[str, dict[str, Any]], ...] = ()
    """What happened at the end: names and attributes of span events."""


WENT_WELL: Final = Result(Outcome.OK)
FAILURES: Final = frozenset(Outcome.FAILURES)


def of_exception(exc: BaseException, limits: Limits, phase: int, elapsed: float, status: Any = None) -> Result:
    """The caller got `exc` after `elapsed` seconds, in `phase`; `status` is that of the last answer, if there was one."""
    failure = failures.of_exception(exc, limits, elapsed, status)
    there = _where(phase, elapsed)
    if failure.outcome == Outcome.CANCELLED:
        return _of_cancelled(exc, limits, there)
    events = (_timeout(limits, failure.kind, there),) if failure.outcome == Outcome.TIMEOUT else ()
    return Result(failure.outcome, failure.error_type, redact.describe(failure.cause), events)


def of_answer(operation: Operation, status: int, body: Any) -> Result:
    """The caller got what the client library makes of this answer."""
    result = outcome.of_answer(operation.name, status, body, write=not operation.read)
    if result != Outcome.ERROR:
        return Result(result)
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    known = redact.phrases(body) if isinstance(body, str) else []
    return Result(result, str(status), ", ".join((f"HTTP {status}", *known)))


def of_abandoned(description: str, phase: int, elapsed: float) -> Result:
    """Nobody waits for the call any more; it was in `phase`."""
    return _abandoned(description, _where(phase, elapsed))


def _of_cancelled(exc: BaseException, limits: Limits, where: dict[str, Any]) -> Result:
    reason = cancellation.reason(exc)
    if isinstance(exc, GeneratorExit) or (reason != CancelReason.DEADLINE and cancellation.loop_is_closing()):
        return _abandoned("still running when its event loop ended", where)
    cancelled = (semconv.EVENT_CANCELLED, {semconv.CANCEL_REASON: reason, **where})
    if reason != CancelReason.DEADLINE:
        return Result(Outcome.CANCELLED, events=(cancelled,))
    timeout = _timeout(limits, TimeoutKind.DEADLINE, where)
    return Result(Outcome.TIMEOUT, "TimeoutError", "the caller's deadline expired", (cancelled, timeout))


def _abandoned(description: str, where: dict[str, Any]) -> Result:
    return Result(Outcome.ABANDONED, None, description, ((semconv.EVENT_ABANDONED, where),))


def _timeout(limits: Limits, kind: str | None, where: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    attributes = {**where, **limits.timeouts}
    if kind is not None:
        attributes[semconv.TIMEOUT_KIND] = kind
    return semconv.EVENT_TIMEOUT, attributes


def _where(phase: int, elapsed: float) -> dict[str, Any]:
    return {semconv.PHASE: PHASES[phase], semconv.ELAPSED: elapsed}
