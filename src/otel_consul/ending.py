"""What is made of a call that has ended: its outcome, its span's last attributes and events, its data points."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_consul import deadlines, guard, hooks, outcome, redact, response, semconv
from otel_consul.inflight import OVER
from otel_consul.operations import Operation
from otel_consul.semconv import (
    PHASE_ATTRIBUTES,
    PHASE_FLOOR,
    PHASES,
    CancelReason,
    Outcome,
    Phase,
    TimeoutKind,
)
from otel_consul.totals import LONG
from otel_consul.transports import qualified_name

if TYPE_CHECKING:
    from otel_consul.observation import Observation


class Ending(NamedTuple):
    """How a call ended, for its span and its data point."""

    outcome: str
    error_type: str | None = None
    description: str | None = None
    events: tuple[tuple[str, dict[str, Any]], ...] = ()
    """What happened at the end: names and attributes of span events."""


FINE: Final = Ending(Outcome.OK)
FAILURES: Final = frozenset({Outcome.ERROR, Outcome.TIMEOUT, Outcome.ABANDONED})
OK_STATUS: Final = 200
PHASE_NAMES: Final = PHASE_ATTRIBUTES[: Phase.OTHER]
OTHER_NAME: Final = PHASE_ATTRIBUTES[Phase.OTHER]


def finish(call: Observation, exc: BaseException | None) -> None:  # noqa: PLR0912 -- a function more costs every call
    """The caller of `call` gets its value, or `exc`."""
    plan = call.plan
    operation = plan.operation
    phase = call.phase
    now = perf_counter()
    call.running = False
    call.times[phase] += now - call.last
    call.last = now
    elapsed = now - call.started
    if call.keeper is not None:
        call.keeper = None
    attributes: dict[str, Any] = {}
    found: Mapping[str, str] = {}
    leaderless, contact, late = False, None, 0.0
    ending = FINE
    if call.answer is not None:
        try:
            status, headers, body = call.wiring.client.answer(call.answer)
        except Exception:  # noqa: BLE001 -- a transport of the user's own calls back with anything
            status = headers = body = None
        try:
            if status != OK_STATUS:
                status = response.status(status)
            if status is not None:
                attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = status
                if call.recorder.old_names:
                    attributes[semconv.OLD_STATUS_CODE] = status
            usual = None if plan.blocking else response.usual(headers, attributes)
            if usual is not None:
                leaderless, contact = usual
            else:
                found = response.read(headers)
                if found:
                    leaderless, contact = response.describe(found, attributes)
            if exc is None and (status != OK_STATUS or not operation.read):
                ending = _ending_of_answer(operation, OK_STATUS if status is None else status, body)
        except Exception:  # noqa: BLE001 -- the rest of what is known is still worth exporting
            guard.fault("reading an answer")
    if plan.blocking:
        late = _hold(call, found, elapsed, attributes)
    if exc is not None:
        call.raised = True
        try:
            ending = _ending_of(call, exc, phase, elapsed)
        except Exception:  # noqa: BLE001
            guard.fault("ending a failed call")
            ending = Ending(Outcome.ERROR, qualified_name(type(exc)))
    _record(call, ending, attributes, elapsed, leaderless, contact, late)


def finish_abandoned(call: Observation, elapsed: float, description: str) -> None:
    """Nobody will end `call` any more: its clock was stopped after `elapsed` seconds."""
    phase = call.phase
    if call.delay is not None:
        call.delay.drop()
        call.delay = None
    attributes: dict[str, Any] = {}
    late = _hold(call, {}, elapsed, attributes) if call.plan.blocking else 0.0
    ending = _abandoned(description, _where(phase, elapsed))
    _record(call, ending, attributes, elapsed, False, None, late)


def _ending_of(call: Observation, exc: BaseException, phase: int, elapsed: float) -> Ending:
    failure = outcome.of_exception(exc, call.limits, elapsed)
    where = _where(phase, elapsed)
    if failure.outcome == Outcome.CANCELLED:
        return _ending_of_cancelled(call, exc, where)
    events = (_timeout(call, failure.kind, where),) if failure.outcome == Outcome.TIMEOUT else ()
    return Ending(failure.outcome, failure.error_type, redact.describe(failure.cause), events)


def _ending_of_cancelled(call: Observation, exc: BaseException, where: dict[str, Any]) -> Ending:
    reason = call.recorder.cancel_reason(exc)
    if isinstance(exc, GeneratorExit) or (reason != CancelReason.DEADLINE and deadlines.loop_is_closing()):
        return _abandoned("still running when its event loop ended", where)
    cancelled = (semconv.EVENT_CANCELLED, {semconv.CANCEL_REASON: reason, **where})
    if reason != CancelReason.DEADLINE:
        return Ending(Outcome.CANCELLED, events=(cancelled,))
    timeout = _timeout(call, TimeoutKind.DEADLINE, where)
    return Ending(Outcome.TIMEOUT, "TimeoutError", "the caller's deadline expired", (cancelled, timeout))


def _abandoned(description: str, where: dict[str, Any]) -> Ending:
    return Ending(Outcome.ABANDONED, None, description, ((semconv.EVENT_ABANDONED, where),))


def _timeout(call: Observation, kind: str | None, where: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    attributes = {**where, **call.limits.timeouts}
    if kind is not None:
        attributes[semconv.TIMEOUT_KIND] = kind
    return semconv.EVENT_TIMEOUT, attributes


def _where(phase: int, elapsed: float) -> dict[str, Any]:
    return {semconv.PHASE: PHASES[phase], semconv.ELAPSED: elapsed}


def _hold(call: Observation, found: Mapping[str, str], elapsed: float, attributes: dict[str, Any]) -> float:
    if found:
        woken = response.wakeup(call.plan.operation, call.query, found, elapsed)
        if woken is not None:
            attributes[semconv.WAKEUP] = woken
    late = response.late(call.query, elapsed)
    if late:
        attributes[semconv.LATE] = late
    return late


def _record(  # noqa: PLR0912 -- a function more costs every call
    call: Observation,
    ending: Ending,
    attributes: dict[str, Any],
    elapsed: float,
    leaderless: bool,
    contact: float | None,
    late: float,
) -> None:
    recorder, plan = call.recorder, call.plan
    operation = plan.operation
    settings, totals = recorder.settings, recorder.totals
    local = None
    delay = call.delay
    if delay is not None:
        call.delay = None
        try:
            local = delay.total(call, answered=call.answer is not None)
        except Exception:  # noqa: BLE001 -- the rest of what is known is still worth exporting
            guard.fault("summing up local delay")
    failed = ending is not FINE and ending.outcome in FAILURES
    if failed and plan.spans == "errors":
        try:
            call.span = recorder.start_span(
                plan.operation.name, call.context, SpanKind.CLIENT, call.attributes, start_time=call.start_ns
            )
        except Exception:  # noqa: BLE001 -- as in `Observation.begin`
            guard.fault("starting a span")
    span = call.span
    try:
        if span.is_recording():
            attributes[semconv.OUTCOME] = ending[0]
            if failed and ending.error_type is not None:
                attributes[semconv.ERROR_TYPE] = ending.error_type
            _measured(call, attributes, local, elapsed)
            span.set_attributes(attributes)
            if ending is not FINE:
                for name, details in ending.events:
                    span.add_event(name, details, call.at(elapsed))
                if failed:
                    span.set_status(Status(StatusCode.ERROR, ending.description))
        if call.hooked is not None and settings.response_hook is not None:
            hooks.run("response_hook", settings.response_hook, span, call.hooked, _response(call))
    finally:  # the point is known, whatever happened to the span
        try:
            point = plan.fine if ending is FINE else plan.duration_attributes(ending.outcome, ending.error_type)
            recorder.duration.record(elapsed, point, call.context)
            recorder.finished(
                (
                    plan.series,
                    call.times if settings.phases else None,
                    local,
                    call.resends if call.fresh is not None or call.counts_resends else None,
                    call.opened if call.fresh is not None else None,
                    late,
                    leaderless and operation.read,
                    contact if operation.read else None,
                )
            )
            if len(totals.finished) > LONG:
                totals.fold()
        finally:
            span.end(call.start_ns + int(elapsed * 1e9))
            # A timer of the transport's may hold on to this call for minutes; to nothing else, then.
            call.answer = call.hooked = call.wiring = None  # type: ignore[assignment]
            call.recorder = OVER


def _measured(call: Observation, attributes: dict[str, Any], local: list[float] | None, elapsed: float) -> None:
    """What the transport's signals and the sampler measured."""
    if call.recorder.settings.phases:
        other = elapsed
        for name, seconds in zip(PHASE_NAMES, call.times):  # noqa: B905 -- all but `other`; `strict=` costs a dict
            if seconds >= PHASE_FLOOR:
                attributes[name] = seconds
                other -= seconds
        if other >= PHASE_FLOOR or other * 100 > elapsed:
            attributes[OTHER_NAME] = other
    if call.peer is not None:
        attributes[semconv.NETWORK_PEER_ADDRESS] = call.peer[0]
        if len(call.peer) > 1:
            attributes[semconv.NETWORK_PEER_PORT] = call.peer[1]
    if call.reused is not None:
        attributes[semconv.CONNECTION_REUSED] = call.reused
    if call.resends:
        attributes[semconv.HTTP_REQUEST_RESEND_COUNT] = call.resends
        _retry_events(call)
    if local is not None:
        for cause, seconds in enumerate(local):
            if seconds > 0:
                attributes[semconv.LOCAL_DELAY_ATTRIBUTES[cause]] = seconds


def _retry_events(call: Observation) -> None:
    for when, number, why in call.retries or ():
        elapsed = when - call.started
        key = semconv.HTTP_RESPONSE_STATUS_CODE if why.isdigit() else semconv.ERROR_TYPE
        value: Any = int(why) if why.isdigit() else why
        attributes = {semconv.HTTP_REQUEST_RESEND_COUNT: number, key: value, semconv.ELAPSED: elapsed}
        call.span.add_event(semconv.EVENT_RETRY, attributes, call.at(elapsed))


def _response(call: Observation) -> hooks.Response | None:
    """What the response hook sees of the answer."""
    if call.answer is None or call.raised:
        return None
    try:
        return hooks.Response(*call.wiring.client.answer(call.answer)[:2])
    except Exception:  # noqa: BLE001 -- as in `finish`
        return None


def _ending_of_answer(operation: Operation, status: int, body: Any) -> Ending:
    result = outcome.of_answer(operation.name, status, body, write=not operation.read)
    if result != Outcome.ERROR:
        return Ending(result)
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    known = redact.phrases(body) if isinstance(body, str) else []
    return Ending(result, str(status), ", ".join((f"HTTP {status}", *known)))
