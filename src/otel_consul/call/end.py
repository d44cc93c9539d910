"""What is made of a call that has ended: its outcome, its span's last attributes and events, its data points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_consul import guard, hooks, semconv
from otel_consul.background.clock import perf_counter
from otel_consul.call.call_state import CallState
from otel_consul.call.result import FAILURES, WENT_WELL, Result, of_abandoned, of_answer, of_exception
from otel_consul.call.shared import ENDED
from otel_consul.consul_api import response
from otel_consul.metrics.totals import LONG
from otel_consul.semconv import PHASE_ATTRIBUTES, PHASE_FLOOR, Outcome, Phase
from otel_consul.transports import qualified_name

OK_STATUS: Final = 200
WAIT: Final = Phase.WAIT
PHASE_NAMES: Final = PHASE_ATTRIBUTES[: Phase.OTHER]
OTHER_NAME: Final = PHASE_ATTRIBUTES[Phase.OTHER]


def finish(call: CallState, exc: BaseException | None) -> None:  # noqa: PLR0912, PLR0915 -- a function more costs every call
    """The caller of `call` gets its value, or `exc`."""
    call_type = call.type
    operation = call_type.operation
    phase = call.phase
    now = perf_counter()
    call.running = False
    call.times[phase] += now - call.last
    call.last = now
    elapsed = now - call.started
    if call.future is not None:
        call.future = None
    attributes: dict[str, Any] = {}
    found: Mapping[str, str] = {}
    leaderless, contact, late = False, None, 0.0
    result = WENT_WELL
    if call.answer is not None:
        try:
            status, headers, body = call.sender.client.answer(call.answer)
        except Exception:  # noqa: BLE001 -- a transport of the user's own calls back with anything
            status = headers = body = None
        try:
            status = OK_STATUS if type(status) is int and status == OK_STATUS else response.status(status)
            if status is not None:
                attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = status
                if call.shared.old_names:
                    attributes[semconv.OLD_STATUS_CODE] = status
            if exc is None and (status != OK_STATUS or not operation.read):
                result = of_answer(operation, OK_STATUS if status is None else status, body)
        except Exception:  # noqa: BLE001 -- the rest of what is known is still worth exporting
            guard.fault("reading an answer")
        try:
            usual = None if call_type.blocking else response.usual(headers, attributes)
            if usual is not None:
                leaderless, contact = usual
            else:
                found = response.read(headers)
                if found:
                    leaderless, contact = response.describe(found, attributes)
        except Exception:  # noqa: BLE001
            guard.fault("reading headers")
    if call_type.blocking:
        try:
            late = _hold(call, found, elapsed, attributes)
        except Exception:  # noqa: BLE001
            guard.fault("reading how long a query was held")
    if exc is not None:
        call.raised = True
        try:
            result = of_exception(
                exc, call.limits, phase, elapsed, attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE, call.why)
            )
        except Exception:  # noqa: BLE001
            guard.fault("ending a failed call")
            result = Result(Outcome.ERROR, qualified_name(type(exc)))
    _record(call, result, attributes, elapsed, leaderless, contact, late)


def finish_abandoned(call: CallState, elapsed: float, description: str) -> None:
    """Nobody will end `call` any more: its clock was stopped after `elapsed` seconds."""
    phase = call.phase
    if call.delay is not None:
        call.delay.drop()
        call.delay = None
    attributes: dict[str, Any] = {}
    late = _hold(call, {}, elapsed, attributes) if call.type.blocking else 0.0
    result = of_abandoned(description, phase, elapsed)
    _record(call, result, attributes, elapsed, False, None, late)


def _hold(call: CallState, found: Mapping[str, str], elapsed: float, attributes: dict[str, Any]) -> float:
    if found:
        woken = response.wakeup(call.type.operation, call.query, found, elapsed)
        if woken is not None:
            attributes[semconv.WAKEUP] = woken
    late = response.late(call.query, elapsed)
    if late:
        attributes[semconv.LATE] = late
    return late


def _record(  # noqa: PLR0912 -- a function more costs every call
    call: CallState,
    result: Result,
    attributes: dict[str, Any],
    elapsed: float,
    leaderless: bool,
    contact: float | None,
    late: float,
) -> None:
    shared, call_type = call.shared, call.type
    operation = call_type.operation
    settings, totals = shared.settings, shared.totals
    local = network = None
    delay = call.delay
    if delay is not None:
        call.delay = None
        if delay.round_trip or delay.retransmits:
            network = (min(delay.network_delay, call.times[WAIT]), delay.retransmits)
            _networks(network, delay.round_trip, attributes)
        try:
            local = delay.total(call, answered=call.answer is not None)
        except Exception:  # noqa: BLE001 -- the rest of what is known is still worth exporting
            guard.fault("summing up local delay")
    failed = result is not WENT_WELL and result.outcome in FAILURES
    if failed and call_type.spans == "errors":
        try:
            call.span = shared.start_span(
                call_type.operation.name, call.context, SpanKind.CLIENT, call.attributes, start_time=call.start_ns
            )
        except Exception:  # noqa: BLE001 -- as in `ObservedCall.begin`
            guard.fault("starting a span")
    span = call.span
    try:
        if span.is_recording():
            attributes[semconv.OUTCOME] = result[0]
            if failed and result.error_type is not None:
                attributes[semconv.ERROR_TYPE] = result.error_type
            _measured(call, attributes, local, elapsed)
            span.set_attributes(attributes)
            if result is not WENT_WELL:
                for name, details in result.events:
                    span.add_event(name, details, call.at(elapsed))
                if failed:
                    span.set_status(Status(StatusCode.ERROR, result.description))
        if call.hooked is not None and settings.response_hook is not None:
            hooks.run("response_hook", settings.response_hook, span, call.hooked, _response(call))
    finally:  # the point is known, whatever happened to the span
        try:
            try:
                point = (
                    call_type.ok_attributes
                    if result is WENT_WELL
                    else call_type.duration_attributes(result.outcome, result.error_type)
                )
                shared.duration.record(elapsed, point, call.context)
            except Exception:  # noqa: BLE001 -- the totals do not depend on the histogram
                guard.fault("recording a duration")
            shared.finished(
                (
                    call_type.series,
                    call.times if settings.phases else None,
                    local,
                    call.resends if call.fresh is not None or call.counts_resends else None,
                    call.opened if call.fresh is not None else None,
                    late,
                    leaderless and operation.read,
                    contact if operation.read else None,
                    network,
                )
            )
            if len(totals.finished) > LONG:
                totals.fold()
        finally:
            span.end(call.start_ns + int(elapsed * 1e9))
            # A timer of the transport's may hold on to this call for minutes; to nothing else, then.
            call.answer = call.hooked = call.sender = None  # type: ignore[assignment]
            call.shared = ENDED


def _measured(call: CallState, attributes: dict[str, Any], local: list[float] | None, elapsed: float) -> None:
    """What the transport's signals and the sampler measured."""
    if call.shared.settings.phases:
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


def _networks(network: tuple[float, int], round_trip: float, attributes: dict[str, Any]) -> None:
    """What the kernel said of the connection."""
    delay, retransmits = network
    if delay:
        attributes[semconv.NETWORK_DELAY] = delay
    if retransmits:
        attributes[semconv.NETWORK_RETRANSMITS] = retransmits
    if round_trip:
        attributes[semconv.NETWORK_RTT] = round_trip


def _retry_events(call: CallState) -> None:
    for when, number, why in call.retries or ():
        elapsed = when - call.started
        key = semconv.HTTP_RESPONSE_STATUS_CODE if why.isdigit() else semconv.ERROR_TYPE
        value: Any = int(why) if why.isdigit() else why
        attributes = {semconv.HTTP_REQUEST_RESEND_COUNT: number, key: value, semconv.ELAPSED: elapsed}
        call.span.add_event(semconv.EVENT_RETRY, attributes, call.at(elapsed))


def _response(call: CallState) -> hooks.Response | None:
    """What the response hook sees of the answer."""
    if call.answer is None or call.raised:
        return None
    try:
        return hooks.Response(*call.sender.client.answer(call.answer)[:2])
    except Exception:  # noqa: BLE001 -- as in `finish`
        return None
