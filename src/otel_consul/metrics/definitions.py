"""Every metric this package can emit: names, units, attributes, boundaries, and what each one reads of the totals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final, NamedTuple

from opentelemetry.metrics import Observation

from otel_consul.metrics.totals import Totals
from otel_consul.semconv import (
    BLOCKING,
    DEADLINE,
    ERROR_TYPE,
    LOCAL_DELAY_CAUSE,
    NETWORK_STATE,
    OPERATION,
    OUTCOME,
    PHASE,
    SERVER_ADDRESS,
    SERVER_PORT,
)


class Metric(NamedTuple):
    """One instrument: what it is called, what it counts and which attributes its points carry."""

    name: str
    instrument: str
    unit: str
    attributes: tuple[str, ...]
    description: str
    read: Callable[[Totals], Iterator[Observation]] | None = None
    """What an observable instrument reports at each collection."""


def _summed(field: str) -> Callable[[Totals], Iterator[Observation]]:
    return lambda totals: totals.summed(attrgetter(field))


DURATION: Final = Metric(
    "consul.client.operation.duration",
    "histogram",
    "s",
    (OPERATION, OUTCOME, BLOCKING, ERROR_TYPE, SERVER_ADDRESS, SERVER_PORT),
    "Duration of a Consul API call, from its first step until the caller gets its value or exception.",
)
PHASE_TIME: Final = Metric(
    "consul.client.phase.time",
    "observable_counter",
    "s",
    (OPERATION, PHASE, BLOCKING, SERVER_ADDRESS, SERVER_PORT),
    "Time finished calls spent in each phase.",
    Totals.phase_time,
)
LOCAL_DELAY_TIME: Final = Metric(
    "consul.client.local_delay.time",
    "observable_counter",
    "s",
    (OPERATION, LOCAL_DELAY_CAUSE),
    "Time calls lost on this side: event loop, garbage collector, GIL, no processor, CPU limit. Overlaps the phases.",
    Totals.local_delay_time,
)
OPERATIONS: Final = Metric(
    "consul.client.operations",
    "observable_counter",
    "{operation}",
    (OPERATION, DEADLINE, BLOCKING),
    "Consul API calls started, by what would stop them if the other side went silent.",
    Totals.operations,
)
ACTIVE: Final = Metric(
    "consul.client.active_operations",
    "observable_up_down_counter",
    "{operation}",
    (OPERATION, BLOCKING, SERVER_ADDRESS, SERVER_PORT),
    "Consul API calls open now.",
    Totals.active,
)
OLDEST_AGE: Final = Metric(
    "consul.client.oldest_active_operation.age",
    "observable_gauge",
    "s",
    (OPERATION, BLOCKING),
    "Age of the oldest open call.",
    Totals.oldest_age,
)
STALLED: Final = Metric(
    "consul.client.stalled_operations",
    "observable_up_down_counter",
    "{operation}",
    (OPERATION, BLOCKING, NETWORK_STATE),
    "Open calls older than the stall threshold, by whose silence they hear.",
    Totals.stalled,
)
RETRIES: Final = Metric(
    "consul.client.retries",
    "observable_counter",
    "{retry}",
    (OPERATION,),
    "Retries and redirects below the API call.",
    _summed("retries"),
)
LATE_TIME: Final = Metric(
    "consul.client.late.time",
    "observable_counter",
    "s",
    (OPERATION,),
    "Time blocking queries took beyond the longest hold Consul allows itself: surely delay.",
    _summed("late"),
)
LEADERLESS_READS: Final = Metric(
    "consul.client.leaderless_reads",
    "observable_counter",
    "{read}",
    (OPERATION,),
    "Reads answered by a server that knew no leader.",
    _summed("leaderless"),
)
MAX_LAST_CONTACT: Final = Metric(
    "consul.client.max_last_contact",
    "observable_gauge",
    "s",
    (OPERATION,),
    "Greatest time since the answering server heard from its leader, since the last collection.",
    Totals.max_last_contact,
)
CONNECTIONS_OPENED: Final = Metric(
    "consul.client.connections.opened",
    "observable_counter",
    "{connection}",
    (SERVER_ADDRESS, SERVER_PORT),
    "Connections opened for Consul API calls.",
    Totals.connections_opened,
)

NETWORK_DELAY_TIME: Final = Metric(
    "consul.client.network_delay.time",
    "observable_counter",
    "s",
    (OPERATION, BLOCKING, SERVER_ADDRESS, SERVER_PORT),
    "The part of the wait for answers that surely was the network's: the request had to be sent again, or is far away.",
    Totals.network_delay,
)
RETRANSMISSIONS: Final = Metric(
    "consul.client.retransmissions",
    "observable_counter",
    "{segment}",
    (SERVER_ADDRESS, SERVER_PORT),
    "Segments sent again while calls waited for their answer.",
    Totals.retransmissions,
)
INSTANCES: Final = Metric(
    "consul.client.instances",
    "observable_up_down_counter",
    "{client}",
    (SERVER_ADDRESS, SERVER_PORT),
    "Client objects alive that have made a call.",
    lambda totals: totals.instances.alive(),
)
INSTANCES_CREATED: Final = Metric(
    "consul.client.instances.created",
    "observable_counter",
    "{client}",
    (SERVER_ADDRESS, SERVER_PORT),
    "Client objects that made their first call.",
    lambda totals: totals.instances.created(),
)

METRICS: Final[tuple[Metric, ...]] = (
    DURATION,
    PHASE_TIME,
    LOCAL_DELAY_TIME,
    OPERATIONS,
    ACTIVE,
    OLDEST_AGE,
    STALLED,
    RETRIES,
    LATE_TIME,
    LEADERLESS_READS,
    MAX_LAST_CONTACT,
    CONNECTIONS_OPENED,
    NETWORK_DELAY_TIME,
    RETRANSMISSIONS,
    INSTANCES,
    INSTANCES_CREATED,
)
"""Every metric this package can emit."""

DURATION_BOUNDARIES: Final[tuple[float, ...]] = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    7.5,
    10,
    30,
    60,
    320,
    640,
)
"""Advisory boundaries of `DURATION`: the usual time-outs, and Consul's default and longest hold (300 s and 600 s, plus 1/16)."""
