"""The time-outs in force for one call: what stops it if the other side goes silent."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from otel_consul.semconv import DEADLINE, TIMEOUT_CONNECT, TIMEOUT_READ, TIMEOUT_TOTAL, Deadline


class Limits:
    """Time-outs in seconds; None where there is none. Interned: equal limits are the same object."""

    __slots__ = ("attributes", "connect", "deadline", "read", "timeouts", "total")

    def __init__(self, deadline: str | None, connect: float | None, read: float | None, total: float | None) -> None:
        self.deadline = deadline
        """`none`, `per_read`, `total`, or None where it cannot be known."""
        self.connect = connect
        self.read = read
        self.total = total
        pairs = ((TIMEOUT_CONNECT, connect), (TIMEOUT_READ, read), (TIMEOUT_TOTAL, total))
        self.timeouts: dict[str, Any] = {name: value for name, value in pairs if value is not None}
        """The time-outs as attributes, for events."""
        self.attributes: dict[str, Any] = {} if deadline is None else {DEADLINE: deadline}
        self.attributes.update(self.timeouts)


@lru_cache(maxsize=256)
def limits(connect: float | None, read: float | None, total: float | None) -> Limits:
    """The limits made of these time-outs; a `total` is a deadline, a `read` alone is one per socket read."""
    deadline = Deadline.TOTAL if total is not None else Deadline.PER_READ if read is not None else Deadline.NONE
    return Limits(deadline, _float(connect), _float(read), _float(total))


def _float(seconds: float | None) -> float | None:
    return None if seconds is None else float(seconds)


UNKNOWN: Final = Limits(None, None, None, None)
"""For a transport nothing is known about."""
