"""Keeps watch over the open calls from `start` to `stop`: what reports them, what shows them, what ends them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry._logs import Logger

from otel_consul.monitor import Monitor
from otel_consul.os_signals import SignalHandler
from otel_consul.profile import Watched, open_calls, report
from otel_consul.recorder import Recorder
from otel_consul.shutdown import Shutdown


class Vigil:
    """The watch over one recorder's calls. `providers` gives the telemetry providers to flush when the process ends."""

    def __init__(self, recorder: Recorder, logger: Logger, providers: Callable[[], Iterable[Any]]) -> None:
        self._recorder = recorder
        self._shutdown = Shutdown(recorder.registry, recorder.dropped, providers)
        settings = recorder.settings
        self._dump: SignalHandler | None = None
        if settings.dump_signal:
            self._dump = SignalHandler(signal.Signals[settings.dump_signal], _dump_to_stderr)
        background = recorder.background
        background.rousing = self._shutdown.come_first
        recorder.on_first_span = self._first_span
        if settings.stall_threshold > 0:
            monitor = Monitor(recorder.registry, recorder.tracer, logger, settings.stall_threshold)
            background.add(monitor.look)

    def start(self) -> None:
        """Watch from now on."""
        Watched.registry = self._recorder.registry
        self._shutdown.arm()
        if self._dump is not None:
            self._dump.install()

    def stop(self) -> None:
        """End the calls that are open as abandoned, and leave no hook and no handler behind."""
        self._shutdown.disarm()
        if self._dump is not None:
            self._dump.remove()
        self._shutdown.abandon_all()
        Watched.registry = None

    def _first_span(self) -> None:
        self._recorder.on_first_span = None
        self._shutdown.come_first()


def _dump_to_stderr() -> None:
    # not by way of sys.stderr: the signal may have interrupted a write to it
    text = f"\n{report(open_calls())}\n".encode(errors="replace")
    descriptor = sys.__stderr__.fileno() if sys.__stderr__ is not None else 2
    while text:
        text = text[os.write(descriptor, text) :]
