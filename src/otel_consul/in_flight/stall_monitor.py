"""Tells of calls that hang, while they hang: a log record and a child span each, and again whenever the age doubles.

A look costs what is due, not what is open: calls are kept in the order they started, so those that may have become
stalled since the last look lie together, and each of them waits in a heap for its next report.
"""

from __future__ import annotations

import logging
import weakref
from bisect import bisect_left
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from operator import attrgetter
from time import time_ns
from types import FrameType
from typing import Any, Final, NamedTuple

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.trace import SpanKind, Tracer

from otel_consul import guard, semconv
from otel_consul.background.clock import perf_counter
from otel_consul.in_flight.registry import Call, Registry
from otel_consul.stacks import frames, waiters

GRAIN: Final = 1 / 50
"""The shortest time between two looks, as a share of the threshold."""
BURST: Final = 250
"""Reports that may be made at once: an eighth of what the SDK's queues hold, which are the program's too."""
RATE: Final = 40.0
"""Reports a second beyond that: below 1 % of a core (75 to 200 µs each, most of it the SDK's).

With more due than that, second and later reports of a call are left out, and first ones are made late, oldest first."""
_FEW: Final = 10
"""Reports worth another look, where they are limited."""
_OVERLAP: Final = 1.0
"""Seconds by which a call may have entered the registry after one that started later (a preempted thread)."""
_DEAD: Final = 1000
"""Ended calls the heap may hold, beyond as many as are open, before it is cleaned."""

_started: Final = attrgetter("started")


class _Due(NamedTuple):
    """One call's next report: when (`perf_counter` seconds), at what age, and whether it is not the first."""

    when: float
    number: int
    call: weakref.ref[Call]
    age: float
    again: bool


class StallMonitor:
    """Reports the stalled calls of one registry. `look` is a job for `Background`."""

    def __init__(self, registry: Registry, tracer: Tracer, logger: Logger, threshold: float) -> None:
        self._registry = registry
        self._tracer = tracer
        self._logger = logger
        self._threshold = threshold
        self._heap: list[_Due] = []
        self._numbers = count()
        self._looked_until = float("-inf")
        self._allowed = float(BURST)
        self._allowed_at = perf_counter()
        self._advised: set[tuple[Any, ...]] = set()
        """Where it has been said that keep-alive is missing."""

    def look(self, now: float) -> float | None:
        """Report what is due at `now`; the seconds until something can be due again, None while nothing is open."""
        calls = self._registry.snapshot()
        if not calls:
            self._heap.clear()
            return None
        # a call that starts after this look is due in `threshold` at the earliest
        soonest = min(self._discover(calls, now), now + self._threshold)
        if len(self._heap) > 2 * len(calls) + _DEAD:
            self._forget_ended()
        self._report_due(now)
        if self._heap:
            # what is due already must wait until some more may be told of
            soonest = min(soonest, max(self._heap[0].when, now + _FEW / RATE if self._allowed < 1 else now))
        return max(soonest - now, self._threshold * GRAIN)

    def _discover(self, calls: list[Call], now: float) -> float:
        """Put the calls on the heap that have grown old since the last look; when the next one will."""
        horizon = now - self._threshold
        first = bisect_left(calls, self._looked_until - _OVERLAP, key=_started)
        self._looked_until = horizon
        for index in range(first, len(calls)):
            call = calls[index]
            if call.started > horizon:
                return call.started + self._threshold
            if not call.watched:
                call.watched = True
                age = call.stalls_after(self._threshold)
                heappush(self._heap, _Due(call.started + age, next(self._numbers), weakref.ref(call), age, again=False))
        return float("inf")

    def _forget_ended(self) -> None:
        self._heap = [due for due in self._heap if self._is_open(due)]
        heapify(self._heap)

    def _is_open(self, due: _Due) -> bool:
        call = due.call()
        return call is not None and call in self._registry

    def _report_due(self, now: float) -> None:
        self._allowed = min(BURST, self._allowed + (now - self._allowed_at) * RATE)
        self._allowed_at = now
        heap = self._heap
        threads: Mapping[int, FrameType] | None = None
        while heap and heap[0].when <= now and self._allowed >= 1:
            due = heappop(heap)
            call = due.call()
            if call is None or call not in self._registry:
                continue
            age = 2 * max(due.age, call.age if call.age >= 2 * due.age else 0.0)
            heappush(heap, _Due(call.started + age, next(self._numbers), due.call, age, again=True))
            if due.again and self._allowed < BURST / 2:
                continue
            self._allowed -= 1
            if threads is None:
                threads = frames.of_threads()
            try:
                self._report(call, threads)
            except Exception:  # noqa: BLE001
                guard.fault("reporting a stalled call")

    def _advise(self, call: Call, attributes: Mapping[str, Any]) -> None:
        """Nobody will ever notice that the other side of this connection is gone: say so, once for each place."""
        silence, remedy = call.silence(), call.keep_alive_advice
        line = attributes.get(semconv.CODE_FILE_PATH), attributes.get(semconv.CODE_LINE_NUMBER)
        if silence is None or silence.keep_alive is not False or not remedy:
            return
        if line in self._advised or len(self._advised) >= _MOST_PLACES:
            return
        self._advised.add(line)
        _log.warning(
            "%s at %s:%s waits on a connection without TCP keep-alive, and has no deadline: if the other side is gone, nobody "
            "ever notices. Set a time-out. To notice that the other side is gone, %s. Said once for each place.",
            call.operation,
            *line,
            remedy,
        )

    def _report(self, call: Call, threads: Mapping[int, FrameType]) -> None:
        elapsed = call.age
        attributes = _attributes(call, elapsed, threads)
        name = call.operation
        if call.deadline == semconv.Deadline.NONE:
            self._advise(call, attributes)
        self._logger.emit(
            LogRecord(
                timestamp=time_ns(),
                context=call.context,
                severity_text="WARN",
                severity_number=SeverityNumber.WARN,
                body=f"{name} has been waiting for {elapsed:.1f} s (phase {call.phase_name})" + _whose(attributes),
                attributes=attributes,
                event_name=semconv.EVENT_STALLED,
            )
        )
        if call.span.is_recording():
            span = self._tracer.start_span(
                f"{name} stalled", call.context, SpanKind.INTERNAL, attributes, start_time=call.start_ns
            )
            span.end(call.start_ns + int(elapsed * 1e9))


_MOST_PLACES: Final = 1000
_log: Final = logging.getLogger("otel_consul")
_SILENCES: Final[Mapping[str, str]] = {
    semconv.NetworkState.UNACKNOWLEDGED: "; the other side has not acknowledged the request: the network, or a host that is gone",
    semconv.NetworkState.ACKNOWLEDGED: "; the other side has the whole request, and its program is silent",
    semconv.NetworkState.CLOSED_BY_PEER: "; the other side has hung up, and nobody here has noticed",
}


def _whose(attributes: Mapping[str, Any]) -> str:
    return _SILENCES.get(attributes.get(semconv.NETWORK_STATE, ""), "")


def _attributes(call: Call, elapsed: float, threads: Mapping[int, FrameType]) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        semconv.OPERATION: call.operation,
        semconv.ELAPSED: elapsed,
        semconv.PHASE: call.phase_name,
        **call.series.server,
    }
    if call.deadline is not None:
        attributes[semconv.DEADLINE] = call.deadline
    if call.wait is not None:
        attributes[semconv.BLOCKING] = True
        attributes[semconv.WAIT] = call.wait
    silence = call.silence()
    if silence is not None:
        attributes[semconv.NETWORK_STATE] = silence.state
        attributes[semconv.NETWORK_RETRANSMITS] = silence.retransmits
        attributes[semconv.NETWORK_SILENT_FOR] = silence.silent_for
    lines = waiters.stack(call.waiter, call.origin, threads)
    if lines:
        caller = lines[-1]
        attributes[semconv.CODE_FUNCTION_NAME] = caller.function
        attributes[semconv.CODE_FILE_PATH] = caller.file
        attributes[semconv.CODE_LINE_NUMBER] = caller.line
        text = "\n".join(map(str, lines))
        busy = waiters.loop_is_busy_at(call.waiter, threads)
        if busy:
            text = "\n".join([text, "", "Meanwhile the event loop is busy at:", *map(str, busy)])
        attributes[semconv.CODE_STACKTRACE] = text
    return attributes
