"""The registry of open calls.

A dict whose single operations are atomic: no lock. A call is in it from its first step until it ends, whoever ends
it; `close` tells exactly one of them that it was the one. The gauges are counted from here at collection, so they
cannot drift.
"""

from __future__ import annotations

from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_consul.metrics.series import OpenCall
from otel_consul.stacks.call_site import CallSite
from otel_consul.stacks.waiters import Waiter


class Call(OpenCall, Protocol):
    """What is asked of a call while it is open. Times are `perf_counter` seconds unless they say otherwise."""

    waiter: Waiter
    origin: CallSite | None
    span: Span
    context: Context | None
    start_ns: int
    """When it started, nanoseconds since the epoch."""
    watched: bool
    """Whether the stall monitor has seen it grow old."""

    @property
    def operation(self) -> str:
        """The name of its operation."""

    @property
    def blocking(self) -> bool:
        """Whether it is a blocking query."""

    @property
    def wait(self) -> float | None:
        """Seconds Consul may hold it; None if it is no blocking query."""

    @property
    def deadline(self) -> str | None:
        """What would stop it: a value of `consul.deadline`; None where that is not known."""

    @property
    def phase_name(self) -> str:
        """Where it is: a value of `consul.phase`."""

    @property
    def keep_alive_advice(self) -> str:
        """How to switch TCP keep-alive on with its HTTP library; empty if it has just ended."""

    @property
    def age(self) -> float:
        """Seconds since it started."""

    def abandon(self) -> None:
        """End it: nobody else will."""

    def finish_dropped(self, elapsed: float) -> None:
        """End it, after it was dropped and taken out of the registry `elapsed` seconds after its start."""


class Registry(dict[Any, None]):
    """The calls that are open now, oldest first. The call path writes ``registry[call] = None`` itself."""

    def close(self, call: Call) -> bool:
        """Forget `call`; whether it was still open, which is true for one caller only."""
        return self.pop(call, call) is None

    def snapshot(self) -> list[Call]:
        """The calls open now, oldest first."""
        return list(self)
