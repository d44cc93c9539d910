"""All Consul calls of a program, by operation, from their spans: as much memory for ten as for ten million."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from otel_consul import semconv
from otel_consul.report import spans
from otel_consul.report.latency import Latency
from otel_consul.semconv import Deadline, Outcome

MAX_OPERATIONS: Final = 64
"""The operations table has more names, a program does not; then the rest is one."""
MAX_KINDS: Final = 8
"""Error types and call sites told apart, per operation."""
MAX_HANGING: Final = 10_000
"""Hanging calls known at a time, in all. More are not counted: then there are at least so many."""
REST: Final = "(others)"
HANGS: Final = 1.0
"""Seconds, beyond any hold. A call that a program's end cuts off younger than this was merely in flight."""

Events = Iterable[tuple[str, Mapping[str, Any]]]


class Tally(Counter[str]):
    """Counts of a bounded number of names."""

    def take(self, name: str) -> None:
        """Count one, under its name while there is room for one more."""
        self[name if name in self or len(self) < MAX_KINDS else REST] += 1


class Operation:
    """The calls of one operation; blocking queries and plain calls are two."""

    __slots__ = ("_longest_cut_off", "blocking", "cut_off", "cut_off_without_deadline", "errors", "forked", "hanging",
                 "late", "latency", "lateness", "leaderless", "name", "no_deadline", "outcomes", "resends",
                 "retransmits", "silences", "sites", "timeouts", "wakeups")  # fmt: skip

    def __init__(self, name: str, *, blocking: bool) -> None:
        self.name = name
        self.blocking = blocking
        self.latency = Latency()
        """How long calls took; blocking queries: how long they were held."""
        self.lateness = Latency()
        """Blocking queries only: by how much each of them was late, mostly 0, and what that consisted of."""
        self.outcomes: Counter[str] = Counter()
        self.errors = Tally()
        self.timeouts = Tally()
        """Time-outs by the phase they struck in."""
        self.wakeups = Tally()
        self.sites = Tally()
        """Where calls that stalled were made."""
        self.silences = Tally()
        """Calls that stalled, by whose silence they heard."""
        self.retransmits = 0
        """The most times that one request was sent again."""
        self.no_deadline = 0
        self.resends = 0
        self.late = 0
        self.leaderless = 0
        self.forked = 0
        self.cut_off = self.cut_off_without_deadline = 0
        """Calls that ended only because the program did, after some time."""
        self._longest_cut_off = 0.0
        self.hanging: dict[str, tuple[float, bool]] = {}
        """Calls that are overdue and have not ended, as far as is known, by span id: last known age, and whether it
        has no deadline."""

    @property
    def never_returned(self) -> int:
        """Calls that gave their caller nothing: cut off, or still hanging."""
        return self.cut_off + len(self.hanging)

    @property
    def never_returned_without_deadline(self) -> int:
        """Those of them that nothing would have stopped."""
        return self.cut_off_without_deadline + sum(without for _, without in self.hanging.values())

    @property
    def longest_hang(self) -> float:
        """Seconds the oldest of them is known to have waited."""
        return max([self._longest_cut_off, *(age for age, _ in self.hanging.values())])

    def ended(self, attributes: Mapping[str, Any], seconds: float, events: Events) -> None:
        """Count a call that has ended."""
        outcome = str(attributes[semconv.OUTCOME])
        no_deadline = attributes.get(semconv.DEADLINE) == Deadline.NONE
        self.latency.add(seconds, spans.parts(attributes, seconds))
        # not the value itself: a hook may have written anything
        self.outcomes[outcome if outcome in OUTCOMES else Outcome.ERROR] += 1
        self.no_deadline += no_deadline
        self.resends += int(spans.number(attributes.get(semconv.HTTP_REQUEST_RESEND_COUNT)))
        self.retransmits = max(self.retransmits, int(spans.number(attributes.get(semconv.NETWORK_RETRANSMITS))))
        self.leaderless += attributes.get(semconv.RESPONSE_KNOWN_LEADER) is False
        self.forked += attributes.get(semconv.CLIENT_FORKED) is True
        if outcome == Outcome.ERROR and semconv.ERROR_TYPE in attributes:
            kind = str(attributes[semconv.ERROR_TYPE]).rpartition(".")[2]
            self.errors.take(f"HTTP {kind}" if kind.isdigit() else kind)
        elif outcome == Outcome.TIMEOUT:
            struck = (about.get(semconv.PHASE) for name, about in events if name == semconv.EVENT_TIMEOUT)
            self.timeouts.take(str(next(struck, None) or semconv.PHASES[semconv.Phase.OTHER]))
        elif outcome == Outcome.ABANDONED and seconds >= HANGS + self._hold(attributes):
            self.cut_off += 1
            self.cut_off_without_deadline += no_deadline
            self._longest_cut_off = max(self._longest_cut_off, seconds)
        if self.blocking:
            self._held(attributes, seconds)

    def _hold(self, attributes: Mapping[str, Any]) -> float:
        """Seconds that Consul may hold the call on purpose."""
        wait = spans.number(attributes.get(semconv.WAIT, semconv.DEFAULT_WAIT))
        return min(wait, semconv.MAX_WAIT) * (1 + semconv.JITTER) if self.blocking else 0.0

    def _held(self, attributes: Mapping[str, Any], seconds: float) -> None:
        if semconv.WAKEUP in attributes:
            self.wakeups.take(str(attributes[semconv.WAKEUP]))
        late = min(spans.number(attributes.get(semconv.LATE)), seconds)
        self.late += late > 0
        self.lateness.add(late, spans.late_parts(attributes, seconds, late))


OUTCOMES: Final = tuple(value for name, value in vars(Outcome).items() if name.isupper())


class Aggregate:
    """The calls of a program. Feed it spans, in any order, as they end; not thread-safe."""

    def __init__(self) -> None:
        self._operations: dict[tuple[str, bool], Operation] = {}
        self._hanging: dict[str, Operation] = {}
        """Span id of each call that is overdue and has not ended -> its operation."""

    @property
    def calls(self) -> int:
        """Calls that have ended."""
        return sum(operation.latency.count for operation in self._operations.values())

    @property
    def operations(self) -> list[Operation]:
        """Those whose time is latency: first where most time went."""
        return self._sorted(blocking=False)

    @property
    def blocking(self) -> list[Operation]:
        """Blocking queries: Consul holds them on purpose, so their time is no latency."""
        return self._sorted(blocking=True)

    def _sorted(self, *, blocking: bool) -> list[Operation]:
        found = [
            operation
            for operation in self._operations.values()
            if operation.blocking is blocking and (operation.latency.count or operation.hanging)
        ]
        return sorted(found, key=lambda operation: (-operation.latency.seconds, operation.name))

    def add(
        self,
        attributes: Mapping[str, Any],
        seconds: float,
        *,
        span_id: str = "",
        parent_id: str = "",
        events: Events = (),
    ) -> None:
        """Take one span: its attributes, its duration, its ids and events. Spans that are not ours are ignored."""
        name = attributes.get(semconv.OPERATION)
        if not isinstance(name, str):
            return
        operation = self._operation(name, blocking=attributes.get(semconv.BLOCKING) is True)
        if semconv.OUTCOME in attributes:
            self._returned(span_id)
            operation.ended(attributes, spans.number(seconds), events)
        elif semconv.ELAPSED in attributes:
            self._stalled(operation, attributes, parent_id)

    def _operation(self, name: str, *, blocking: bool) -> Operation:
        key = (name, blocking)
        found = self._operations.get(key)
        if found is None:
            if len(self._operations) >= MAX_OPERATIONS:
                key = (REST, blocking)
            found = self._operations.setdefault(key, Operation(key[0], blocking=blocking))
        return found

    def _stalled(self, operation: Operation, attributes: Mapping[str, Any], call_id: str) -> None:
        """A child span says that its parent, a call, is overdue. It says so again at each doubling of the age."""
        if call_id not in self._hanging:
            if len(self._hanging) >= MAX_HANGING:
                return
            self._hanging[call_id] = operation
            if (where := spans.site(attributes)) is not None:
                operation.sites.take(where)
            if isinstance(state := attributes.get(semconv.NETWORK_STATE), str):
                operation.silences.take(state)
        without = attributes.get(semconv.DEADLINE) == Deadline.NONE
        operation.hanging[call_id] = spans.number(attributes[semconv.ELAPSED]), without

    def _returned(self, call_id: str) -> None:
        """A call has ended: if it was overdue, it hangs no more."""
        operation = self._hanging.pop(call_id, None)
        if operation is not None:
            del operation.hanging[call_id]
