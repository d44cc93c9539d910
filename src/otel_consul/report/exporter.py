"""The span exporter `consul_report`: counts spans while the program runs, and prints the report at its end."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import weakref
from collections.abc import Sequence
from typing import Any, Final, TextIO

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import get_tracer_provider

from otel_consul.background import forks
from otel_consul.report.aggregate import Aggregate
from otel_consul.report.render import report

FLUSH_MS: Final = 2000
"""How long a report asked for by signal waits for spans that have ended but were not exported yet."""


class ReportExporter(SpanExporter):
    """Prints a report on standard error at the end of the program, and on SIGUSR1 unless somebody handles that.

    The end may be a SIGTERM: `otel_consul.in_flight.process_end` has the providers shut down then, unless somebody handles it.

    It sees what the span processor gives it: what sampling leaves out, or a full queue drops, is not in its numbers.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        self._service = ""
        self._shut_down = False
        self.reset()
        self._listening = _listen(self)
        forks.follow(self)

    def forked(self) -> None:
        """Start anew in a child process: the calls so far are the parent's, and so may be a held lock."""
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self._lock = threading.Lock()
        self.aggregate = Aggregate()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count `spans`."""
        forks.notice()
        with self._lock:
            for span in spans:
                self._add(span)
        return SpanExportResult.SUCCESS

    def _add(self, span: ReadableSpan) -> None:
        attributes, context = span.attributes or {}, span.context
        if context is None or span.end_time is None or span.start_time is None:
            return
        if not self._service:
            self._service = str(span.resource.attributes.get("service.name", ""))
        self.aggregate.add(
            attributes,
            (span.end_time - span.start_time) / 1e9,
            span_id=f"{context.span_id:016x}",
            parent_id=f"{span.parent.span_id:016x}" if span.parent is not None else "",
            events=((event.name, event.attributes or {}) for event in span.events),
        )

    def show(self) -> None:
        """Print the report so far."""
        forks.notice()
        name = self._service if not self._service.startswith("unknown_service") else ""
        title = f"Consul calls of {name}, process {os.getpid()}" if name else f"Consul calls of process {os.getpid()}"
        out = self._out or sys.stderr
        with self._lock:
            report(self.aggregate, title, out=out)
        out.flush()

    def shutdown(self) -> None:
        """Print the report, once; nothing for a program that never called Consul."""
        if self._shut_down:
            return
        self._shut_down = True
        _listen_no_more(self)
        if self.aggregate.operations or self.aggregate.blocking:
            self.show()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is held back."""
        return True


def _listen(exporter: ReportExporter) -> Any:
    """Handle SIGUSR1 if it is free and this is the main thread; the handler, or None."""
    number = getattr(signal, "SIGUSR1", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        return None
    if signal.getsignal(number) is not signal.SIG_DFL:
        return None
    reference = weakref.ref(exporter)

    def handler(_number: int, _frame: Any) -> None:
        # In a thread of its own: the one interrupted may hold the exporter's lock, that of a stream, or even that
        # of `threading`, which therefore cannot start the thread.
        found = reference()
        if found is not None:
            _thread.start_new_thread(_flush_and_show, (found,))

    signal.signal(number, handler)
    return handler


def _listen_no_more(exporter: ReportExporter) -> None:
    """Give SIGUSR1 back, unless somebody else has taken it since."""
    handler, exporter._listening = exporter._listening, None
    if handler is None or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGUSR1) is handler:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def _flush_and_show(exporter: ReportExporter) -> None:
    flush = getattr(get_tracer_provider(), "force_flush", None)
    if flush is not None:
        flush(FLUSH_MS)
    exporter.show()
