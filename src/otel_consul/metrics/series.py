"""What is added up in this process, and the record that a finished call leaves of itself."""

from __future__ import annotations

from operator import add
from typing import Any, Protocol, TypeAlias

from otel_consul import semconv
from otel_consul.network.connections import Silence
from otel_consul.semconv import LOCAL_DELAYS, PHASES


class Series:
    """What has been added up for one operation, blocking or not, on one server."""

    __slots__ = (
        "attributes",
        "connections",
        "last_contact",
        "late",
        "leaderless",
        "local_delay",
        "local_known",
        "network_delay",
        "oldest_attributes",
        "operation",
        "phases",
        "retransmissions",
        "retries",
        "server",
    )

    def __init__(self, operation: str, blocking: bool, server: dict[str, Any]) -> None:
        self.operation = operation
        self.server = server
        self.oldest_attributes: dict[str, Any] = {semconv.OPERATION: operation, semconv.BLOCKING: blocking}
        self.attributes: dict[str, Any] = {**self.oldest_attributes, **server}
        self.phases = [0.0] * len(PHASES)
        self.local_delay = [0.0] * len(LOCAL_DELAYS)
        self.late = 0.0
        self.network_delay: float | None = None
        """None until a connection has been asked; `retransmissions` too."""
        self.retransmissions: int | None = None
        self.retries: int | None = None
        """None until a transport has told of them; `connections` too."""
        self.connections: int | None = None
        self.leaderless = 0
        self.last_contact: float | None = None
        """The greatest since the last collection."""

    def add(
        self,
        local_delay: list[float] | None,
        retries: int | None,
        connections: int | None,
        late: float,
        leaderless: bool,
        contact: float | None,
        network: tuple[float, int] | None,
    ) -> None:
        """Add what most calls have nothing of. None: not measured."""
        if local_delay is not None:
            self.local_delay = list(map(add, self.local_delay, local_delay))
        if retries:
            self.retries = (self.retries or 0) + retries
        if connections:
            self.connections = (self.connections or 0) + connections
        self.late += late
        if network is not None:
            self.network_delay = (self.network_delay or 0.0) + network[0]
            self.retransmissions = (self.retransmissions or 0) + network[1]
        self.leaderless += leaderless
        if contact is not None and (self.last_contact is None or contact > self.last_contact):
            self.last_contact = contact


class Started:
    """Calls started of one operation, by deadline and blocking."""

    __slots__ = ("attributes", "count")

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.attributes = attributes
        self.count = 0


Finished: TypeAlias = tuple[
    Series,
    "list[float] | None",
    "list[float] | None",
    "int | None",
    "int | None",
    float,
    bool,
    "float | None",
    "tuple[float, int] | None",
]
"""The record of one finished call: (series, seconds by phase, seconds by local delay, retries, connections opened,
seconds late, whether the answering server knew no leader, its last contact in seconds, (seconds lost to the network, segments
sent again)). None: not measured."""


class OpenCall(Protocol):
    """What the gauges ask of a call that has not ended."""

    @property
    def series(self) -> Series:
        """Where it is counted."""

    @property
    def started(self) -> float:
        """When it started, `perf_counter` seconds."""

    def stalls_after(self, threshold: float) -> float:
        """The age in seconds beyond which it is stalled, given the threshold of other calls."""

    def silence(self) -> Silence | None:
        """Whose silence it hears while it waits for its answer; None where that cannot be known."""
