"""The shop as a process under `opentelemetry-instrument`: nothing but environment variables is added to it."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from testbed.processes import Process

SHOP = Path(__file__).parent / "shop.py"
STOP_SECONDS = 15.0


class ProgramError(Exception):
    """The program ended by itself; the message is the end of its output."""


def environment(endpoint: str) -> dict[str, str]:
    """What makes any Python program send its telemetry to `endpoint`, soon rather than cheaply."""
    return {
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "250",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }


class Program:
    """The running shop."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def check(self) -> None:
        """ProgramError if it has ended."""
        if not self._process.running:
            raise ProgramError(self._process.tail())

    def stop(self) -> None:
        """Ask it to end, as a supervisor does, and wait until it has: its last spans are then exported."""
        os.kill(self._process.pid, signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while self._process.running:
            if time.monotonic() > end:
                raise ProgramError(f"did not stop within {STOP_SECONDS:.0f} s\n{self._process.tail()}")
            time.sleep(0.02)


@contextmanager
def running(consul_port: int, endpoint: str, settings: Mapping[str, str]) -> Iterator[Program]:
    """The shop, using the Consul at `consul_port`; killed at the end if it has not been stopped."""
    variables = environment(endpoint) | {"CONSUL_HTTP_ADDR": f"127.0.0.1:{consul_port}"} | dict(settings)
    instrument = Path(sys.executable).parent / "opentelemetry-instrument"
    command = ["env", *(f"{name}={value}" for name, value in variables.items())]
    with tempfile.TemporaryDirectory(prefix="shop-") as folder:
        process = Process([*command, str(instrument), sys.executable, str(SHOP)], Path(folder) / "output")
        try:
            yield Program(process)
        finally:
            process.kill()
