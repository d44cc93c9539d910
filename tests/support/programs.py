"""Programs of a user's that end with calls open, run in processes of their own against a real OTLP receiver."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from testbed.otlp_receiver import OtlpReceiver

ROOT = Path(__file__).parents[2]
PROVIDERS = """
    def providers():
        from opentelemetry import _logs, metrics, trace
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        trace.set_tracer_provider(TracerProvider())
        trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        metrics.set_meter_provider(MeterProvider([reader]))
        _logs.set_logger_provider(LoggerProvider())
        _logs.get_logger_provider().add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))

    def instrument(**settings):
        import otel_consul
        otel_consul.ConsulInstrumentor().instrument(**settings)
"""
"""Batch processors that export every five seconds or later: what arrives at the end was flushed."""
CALL = """
    def open_calls(count=1):
        import consul, os, threading, time, otel_consul
        client = consul.Consul(port=int(os.environ["AGENT"]), connections_timeout=None)
        for _ in range(count):
            threading.Thread(target=lambda: client.kv.get("hang"), daemon=True).start()
        while len(otel_consul.open_calls()) < count:
            time.sleep(0.01)
        print("ready", flush=True)
"""


@dataclass(frozen=True)
class End:
    """How a program ended."""

    code: int
    seconds: float
    """From the signal, or from "ready", to the end of the process."""
    out: str
    err: str


class Program:
    """A running program. It has said "ready" when the `with` block begins."""

    def __init__(self, code: str, agent_port: int, receiver: OtlpReceiver, folder: Path, **environ: str) -> None:
        file = folder / "program.py"
        file.write_text("\n".join(map(textwrap.dedent, (PROVIDERS, CALL, code))))
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "AGENT": str(agent_port),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            **environ,
        }
        self._file = file

    def __enter__(self) -> Self:
        self._popen = subprocess.Popen(
            [sys.executable, str(self._file)],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if line != "ready\n":
            self._popen.kill()
            raise AssertionError(line + self._popen.communicate()[1])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._popen.kill()
        self._popen.communicate()

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def end(self, number: int | None = None, within: float = 20.0) -> End:
        """Send the signal, if any, and wait for the end."""
        start = time.monotonic()
        if number is not None:
            self.signal(number)
        out, err = self._popen.communicate(timeout=within)
        return End(self._popen.returncode, time.monotonic() - start, out, err)


Start = Callable[..., Program]
