"""Supervises the open calls: what reports those that stall, what shows them, what ends them with the process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry._logs import Logger
from opentelemetry.trace import Tracer

from otel_consul.background.thread import Background
from otel_consul.in_flight.dropped import Dropped
from otel_consul.in_flight.dump import Watched, open_calls, report
from otel_consul.in_flight.os_signals import SignalHandler
from otel_consul.in_flight.process_end import ProcessEnd
from otel_consul.in_flight.registry import Registry
from otel_consul.in_flight.stall_monitor import StallMonitor
from otel_consul.settings import Settings


class Supervision:
    """From `start` to `stop`. `providers` gives the telemetry providers to flush when the process ends."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        dropped: Dropped,
        background: Background,
        tracer: Tracer,
        logger: Logger,
        providers: Callable[[], Iterable[Any]],
    ) -> None:
        self._registry = registry
        self._end = ProcessEnd(registry, dropped, providers)
        self._dump: SignalHandler | None = None
        if settings.dump_signal:
            self._dump = SignalHandler(signal.Signals[settings.dump_signal], _dump_to_stderr)
        background.rousing = self.come_first = self._end.come_first
        if settings.stall_threshold > 0:
            background.add(StallMonitor(registry, tracer, logger, settings.stall_threshold).look)

    def start(self) -> None:
        """Supervise from now on."""
        Watched.registry = self._registry
        self._end.arm()
        if self._dump is not None:
            self._dump.install()

    def stop(self) -> None:
        """End the calls that are open as abandoned, and leave no hook and no handler behind."""
        self._end.disarm()
        if self._dump is not None:
            self._dump.remove()
        self._end.abandon_all()
        Watched.registry = None


def _dump_to_stderr() -> None:
    # not by way of sys.stderr: the signal may have interrupted a write to it
    text = f"\n{report(open_calls())}\n".encode(errors="replace")
    descriptor = sys.__stderr__.fileno() if sys.__stderr__ is not None else 2
    while text:
        text = text[os.write(descriptor, text) :]
