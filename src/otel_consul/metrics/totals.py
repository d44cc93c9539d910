"""In-process totals: two journals of calls, and what they have been folded into.

An update of a synchronous instrument costs several microseconds and a call would need ten. So a call appends one
small record to each journal (`deque.append` is atomic: no lock, exact with any number of threads), and the journals
are folded into totals, many records at a time, when they are read or grow long.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from opentelemetry.metrics import Observation

from otel_consul import semconv
from otel_consul.background.clock import perf_counter
from otel_consul.background.os_threads import allocate_lock
from otel_consul.metrics.instances import Instances
from otel_consul.metrics.series import Finished, OpenCall, Series, Started
from otel_consul.network.connections import CONNECTIONS
from otel_consul.semconv import LOCAL_DELAYS, PHASES, NetworkState

LONG: Final = 1024
"""Finished calls after which whoever appends one folds the journals."""
_Record = TypeVar("_Record")


class Totals:
    """The journals and what they have been folded into."""

    def __init__(self, open_calls: Callable[[], Iterable[OpenCall]], stall_threshold: float) -> None:
        self.open_calls: Callable[[], Iterable[OpenCall]] = open_calls
        self.stall_threshold = stall_threshold
        self.begun: deque[Started] = deque()
        """One entry for each call that has started. The call path appends to it itself, and to `finished`."""
        self.finished: deque[Finished] = deque()
        self.instances = Instances()
        self._lock = allocate_lock()
        self._series: dict[tuple[Any, ...], Series] = {}
        self._started: dict[tuple[Any, ...], Started] = {}
        self._stalled_seen: dict[tuple[Any, ...], Series] = {}
        """By operation, blocking and state: what has been reported once."""

    def series(self, operation: str, blocking: bool, server: dict[str, Any]) -> Series:
        """The one series of these attributes."""
        key = (operation, blocking, *server.values())
        return self._series.setdefault(key, Series(operation, blocking, server))

    def started(self, operation: str, blocking: bool, deadline: str | None) -> Started:
        """The one count of these attributes."""
        attributes: dict[str, Any] = {semconv.OPERATION: operation, semconv.BLOCKING: blocking}
        if deadline is not None:
            attributes[semconv.DEADLINE] = deadline
        return self._started.setdefault((operation, blocking, deadline), Started(attributes))

    def forget(self, started: Started) -> None:
        """A call that is in `begun` turned out not to have started."""
        self.fold(wait=True)
        with self._lock:
            started.count -= 1

    def fold(self, *, wait: bool = False) -> None:
        """Add the journals to the totals; without `wait`, leave it to whoever is at it already."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            for started, number in Counter(_taken(self.begun)).items():
                started.count += number
            phases: dict[Series, list[list[float]]] = {}
            for series, times, local_delay, retries, connections, late, leaderless, contact, network in _taken(
                self.finished
            ):
                if times is not None:
                    if series in phases:
                        phases[series].append(times)
                    else:
                        phases[series] = [times]
                if connections is not None and series.connections is None:
                    series.connections = 0
                if retries is not None and series.retries is None:
                    series.retries = 0
                heard = contact is not None and contact != series.last_contact
                if (
                    heard
                    or local_delay is not None
                    or network is not None
                    or retries
                    or connections
                    or late
                    or leaderless
                ):
                    series.add(local_delay, retries, connections, late, leaderless, contact, network)
            for series, several in phases.items():
                series.phases = [sum(column) for column in zip(series.phases, *several, strict=True)]
        finally:
            self._lock.release()

    def reset(self) -> None:
        """Start from zero: in a forked child what was counted so far is the parent's."""
        self._lock = allocate_lock()
        self.instances.forked()
        self.begun.clear()
        self.finished.clear()
        for series in self._series.values():
            # the objects stay: the types of calls hold them
            Series.__init__(series, series.operation, series.attributes[semconv.BLOCKING], series.server)
        for started in self._started.values():
            started.count = 0

    # --- what the instruments read ----------------------------------------------------------------------------

    def phase_time(self) -> Iterator[Observation]:
        """`definitions.PHASE_TIME`."""
        for series in list(self._series.values()):
            for name, seconds in zip(PHASES, series.phases, strict=True):
                if seconds > 0:
                    yield Observation(seconds, {**series.attributes, semconv.PHASE: name})

    def local_delay_time(self) -> Iterator[Observation]:
        """`definitions.LOCAL_DELAY_TIME`."""
        for operation, several in self._by_operation():
            for index, cause in enumerate(LOCAL_DELAYS):
                seconds = sum(series.local_delay[index] for series in several)
                if seconds > 0:
                    yield Observation(seconds, {semconv.OPERATION: operation, semconv.LOCAL_DELAY_CAUSE: cause})

    def operations(self) -> Iterator[Observation]:
        """`definitions.OPERATIONS`."""
        for started in list(self._started.values()):
            yield Observation(started.count, started.attributes)

    def active(self) -> Iterator[Observation]:
        """`definitions.ACTIVE`; 0 for what was open once, or push pipelines would go on showing the last value."""
        counts = dict.fromkeys(self._series.values(), 0)
        for call in self.open_calls():
            counts[call.series] = counts.get(call.series, 0) + 1
        for series, count in counts.items():
            yield Observation(count, series.attributes)

    def oldest_age(self) -> Iterator[Observation]:
        """`definitions.OLDEST_AGE`; 0 when nothing is open, for the same reason."""
        now = perf_counter()
        ages = {tuple(series.oldest_attributes.values()): 0.0 for series in list(self._series.values())}
        attributes = {
            tuple(series.oldest_attributes.values()): series.oldest_attributes for series in list(self._series.values())
        }
        for call in self.open_calls():
            key = tuple(call.series.oldest_attributes.values())
            ages[key] = max(ages.get(key, 0.0), now - call.started)
        for key, age in ages.items():
            if key in attributes:
                yield Observation(age, attributes[key])

    def stalled(self) -> Iterator[Observation]:
        """`definitions.STALLED`; 0 for each state that was seen once, as in `active`."""
        now = perf_counter()
        for series in list(self._series.values()):
            self._stalled_seen.setdefault((*series.oldest_attributes.values(), NetworkState.UNKNOWN), series)
        counts: Counter[tuple[Any, ...]] = Counter()
        for call in self.open_calls():
            if self.stall_threshold > 0 and now - call.started > call.stalls_after(self.stall_threshold):
                silence = call.silence()
                key = (
                    *call.series.oldest_attributes.values(),
                    NetworkState.UNKNOWN if silence is None else silence.state,
                )
                self._stalled_seen.setdefault(key, call.series)
                counts[key] += 1
        for key, series in list(self._stalled_seen.items()):
            yield Observation(counts[key], {**series.oldest_attributes, semconv.NETWORK_STATE: key[-1]})

    def network_delay(self) -> Iterator[Observation]:
        """`definitions.NETWORK_DELAY_TIME`; absent where no connection could be asked."""
        for series in list(self._series.values()):
            if series.network_delay is not None:
                yield Observation(series.network_delay, series.attributes)
            elif _is_known(series):  # from 0 on, or the first loss would be no increase
                yield Observation(0.0, series.attributes)

    def retransmissions(self) -> Iterator[Observation]:
        """`definitions.RETRANSMISSIONS`; as `network_delay`."""
        yield from self._by_server(
            lambda series: 0 if series.retransmissions is None and _is_known(series) else series.retransmissions
        )

    def max_last_contact(self) -> Iterator[Observation]:
        """`definitions.MAX_LAST_CONTACT`; absent where no read has told since the last collection, whoever collected."""
        for operation, several in self._by_operation():
            seen: list[float] = []
            for series in several:
                contact, series.last_contact = series.last_contact, None
                if contact is not None:
                    seen.append(contact)
            if seen:
                yield Observation(max(seen), {semconv.OPERATION: operation})

    def connections_opened(self) -> Iterator[Observation]:
        """`definitions.CONNECTIONS_OPENED`; absent where no transport tells."""
        yield from self._by_server(lambda series: series.connections)

    def _by_server(self, value: Callable[[Series], int | None]) -> Iterator[Observation]:
        counts: dict[tuple[Any, ...], tuple[dict[str, Any], int]] = {}
        for series in list(self._series.values()):
            number = value(series)
            if number is not None:
                key = tuple(series.server.values())
                counts[key] = (series.server, counts.get(key, (series.server, 0))[1] + number)
        for server, count in counts.values():
            yield Observation(count, server)

    def _by_operation(self) -> Iterable[tuple[str, list[Series]]]:
        groups: dict[str, list[Series]] = {}
        for series in list(self._series.values()):
            groups.setdefault(series.operation, []).append(series)
        return groups.items()

    def summed(self, value: Callable[[Series], float | None]) -> Iterator[Observation]:
        """The sum of `value` by operation; absent where it is None for all, because no transport tells."""
        for operation, several in self._by_operation():
            known = [number for number in map(value, several) if number is not None]
            if known:
                yield Observation(sum(known), {semconv.OPERATION: operation})


def _is_known(series: Series) -> bool:
    """Whether a transport tells of this series' connections, and the kernel of connections."""
    return series.connections is not None and CONNECTIONS.believed


def _taken(journal: deque[_Record]) -> list[_Record]:
    """What is in `journal` now. Others append to it meanwhile."""
    return [journal.popleft() for _ in range(len(journal))]
