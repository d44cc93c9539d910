"""From the spans that arrived to the one to blame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from otel_consul.report import Aggregate
from testbed.telemetry import Span

NAMES = {
    "nothing": "nothing",
    "dns": "the lookup of Consul's name",
    "connect": "the opening of connections",
    "tls": "the TLS handshake",
    "pool": "too few connections",
    "send": "the sending of requests",
    "wait": "Consul or the network",
    "consul": "Consul",
    "network": "the network",
    "receive": "a trickling answer",
    "decode": "the decoding of answers",
    "backoff": "the program's own back-off",
    "other": "what no phase measures",
    "event_loop": "the program's event loop",
    "gc": "the program's garbage collector",
    "gil": "a thread that holds the GIL",
    "cpu": "a machine with too few processors",
    "throttled": "the CPU limit",
    "no_deadline": "calls without a deadline",
    "never_returned": "calls that never returned",
    "errors": "failed calls",
    "timeouts": "calls that timed out",
}
"""The cause of a verdict, in a few words."""


@dataclass(frozen=True)
class Finding:
    """How an act ended."""

    title: str
    injected: str
    blamed: str
    """By the telemetry, in a few words."""
    right: bool


def aggregated(spans: Iterable[Span]) -> Aggregate:
    """The calls that `spans` tell of."""
    aggregate = Aggregate()
    for span in spans:
        aggregate.add(
            span.attributes,
            span.duration,
            span_id=span.span_id,
            parent_id=span.parent_id or "",
            events=((event.name, event.attributes) for event in span.events),
        )
    return aggregate
