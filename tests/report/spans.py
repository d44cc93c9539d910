"""Making what the exporter or an OTLP receiver would have delivered."""

from __future__ import annotations

import random
from typing import Any

from otel_consul import semconv
from otel_consul.report import Aggregate

LOCAL = {"event_loop", "gc", "gil", "cpu", "throttled"}


def attributes(
    operation: str, seconds: float, outcome: str = "ok", deadline: str = "per_read", **shares: float
) -> dict[str, Any]:
    """The attributes of one call; `shares` of its time by phase or local delay."""
    found: dict[str, Any] = {semconv.OPERATION: operation, semconv.OUTCOME: outcome, semconv.DEADLINE: deadline}
    for name, share in shares.items():
        prefix = semconv.LOCAL_DELAY_PREFIX if name in LOCAL else semconv.PHASE_PREFIX
        found[prefix + name] = share * seconds
    return found


def calls(aggregate: Aggregate, number: int, operation: str, seconds: float, **about: Any) -> None:
    for _ in range(number):
        aggregate.add(attributes(operation, seconds, **about), seconds)


def timeouts(aggregate: Aggregate, number: int, operation: str, seconds: float, phase: str) -> None:
    event = (semconv.EVENT_TIMEOUT, {semconv.TIMEOUT_KIND: "read", semconv.PHASE: phase})
    for _ in range(number):
        about = attributes(operation, seconds, outcome="timeout", **{phase: 1.0})
        aggregate.add(about, seconds, events=[event])


def stalled(
    aggregate: Aggregate, call: str, operation: str, elapsed: float, deadline: str = "none", *, blocking: bool = False
) -> None:
    """The child span that says that the call with span id `call` is overdue."""
    about = {
        semconv.OPERATION: operation,
        semconv.ELAPSED: elapsed,
        semconv.DEADLINE: deadline,
        semconv.CODE_FUNCTION_NAME: "shop.fetch",
        semconv.CODE_FILE_PATH: "/srv/shop.py",
        semconv.CODE_LINE_NUMBER: 42,
    }
    aggregate.add(about | ({semconv.BLOCKING: True} if blocking else {}), elapsed, parent_id=call)


def blocking(
    aggregate: Aggregate, number: int, seconds: float, *, operation: str = "kv.get", late: float = 0.0, **about: Any
) -> None:
    for _ in range(number):
        found = attributes(operation, seconds, **about) | {semconv.BLOCKING: True}
        if found[semconv.OUTCOME] == "ok":
            found[semconv.WAKEUP] = "expired"
        aggregate.add(found | ({semconv.LATE: late} if late else {}), seconds)


def busy_day() -> Aggregate:
    """Something of everything, always the same."""
    aggregate, dice = Aggregate(), random.Random(1)
    for _ in range(800):
        calls(aggregate, 1, "kv.get", dice.uniform(0.001, 0.004), wait=0.8, decode=0.1)
    for _ in range(40):
        calls(aggregate, 1, "kv.get", dice.uniform(1.5, 2.1), pool=0.92, wait=0.07)
    calls(aggregate, 12, "kv.get", 0.002, outcome="not_found", wait=0.9)
    for _ in range(100):
        calls(aggregate, 1, "kv.put", dice.uniform(0.5, 0.6), wait=0.9, decode=0.05, event_loop=0.85, gc=0.03)
    calls(aggregate, 5, "kv.put", 0.02, outcome="not_applied", wait=0.9)
    timeouts(aggregate, 3, "health.service", 5.0, "wait")
    calls(aggregate, 30, "health.service", 0.004, deadline="none", wait=0.9)
    calls(aggregate, 100, "agent.check.pass", 0.05, wait=0.5, connect=0.2, dns=0.1, tls=0.1, send=0.05)
    for _ in range(10):
        about = attributes("session.create", 0.001, outcome="error") | {semconv.ERROR_TYPE: "requests.ConnectionError"}
        aggregate.add(about, 0.001)
    for number in range(30):
        stalled(aggregate, f"{number:016x}", "catalog.nodes", 5.0 + number)
    blocking(aggregate, 14, 1.03, wait=1.0)
    blocking(aggregate, 2, 4.0, late=2.9, wait=1.0)
    return aggregate
