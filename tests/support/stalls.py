"""What the tests of hung calls share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor

STALLED = "consul.operation.stalled"


class Logs(LogRecordProcessor):
    """Keeps log records."""

    provider: LoggerProvider

    def __init__(self) -> None:
        self.records: list[Any] = []

    def on_emit(self, log_record: Any) -> None:
        self.records.append(log_record.log_record)

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    @property
    def stalled(self) -> list[Any]:
        return [record for record in self.records if record.event_name == STALLED]


def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    """What `condition` gives, once it is true; AssertionError if it never is."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)
    return value
