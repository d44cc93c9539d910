"""What a feed promises to have injected, so that tests can say what the dashboards must show."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Story:
    """The facts behind the data. Ranges are wide enough for bucket arithmetic and a busy machine, not wider."""

    service: str
    old_release: str
    new_release: str
    """Slower, and calls without a deadline."""
    operations: frozenset[str]
    """Every operation that was called."""
    slowest_operation: str
    """Most time is spent in it."""
    slowest_wait: float
    """Seconds that its calls in the new release have to wait."""
    top_phase: str
    top_cause: str
    consul_share: Range
    """Of the time of calls, spent in Consul."""
    old_p99: Range
    new_p99: Range
    failed_operation: str
    failed_outcome: str
    cancelled_operation: str
    erring_operation: str
    hung_operation: str
    no_deadline_operation: str
    retried_operation: str
    late_operation: str
    leaderless_operation: str
    last_contact: Range
    new_failed_share: Range
    new_no_deadline_share: Range
