"""The service of the incident: it reads its configuration from Consul many times a second, and forgot a deadline.

It knows nothing of its telemetry beyond the ten lines every program has (`providers`). Run by `demo.incident`.
SIGUSR1 stops its traffic; calls that hang go on hanging.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import consul
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

from otel_consul import ConsulInstrumentor

KEY = "shop/config"
_traffic = threading.Event()


def providers() -> None:
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
    logger_provider = LoggerProvider()
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    _logs.set_logger_provider(logger_provider)


# --- what the service does --------------------------------------------------------------------------------------------


def read_config(client: Any) -> Any:
    return client.kv.get(KEY)[1]


async def read_config_async(client: Any) -> Any:
    return (await client.kv.get(KEY))[1]


def handle_request(client: Any) -> None:
    try:
        read_config(client)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the service goes on
        print(type(error).__name__, flush=True)


async def handle_request_async(client: Any) -> None:
    try:
        await read_config_async(client)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the service goes on
        print(type(error).__name__, flush=True)


# --- how it is run ----------------------------------------------------------------------------------------------------


def sync_client(port: int, deadline: float | None) -> Any:
    """A client of whichever library is installed."""
    for option in ("connections_timeout", "timeout"):  # of py-consul since 1.8, and of python-consul2
        with suppress(TypeError):
            return consul.Consul(port=port, **{option: deadline})
    client = consul.Consul(port=port)  # python-consul, and py-consul before 1.8, have no way to set one ...
    if deadline is not None:  # ... but this
        session = client.http.session
        session.get = partial(session.get, timeout=deadline)
    return client


def async_client(port: int, deadline: float | None) -> Any:
    import aiohttp  # noqa: PLC0415 -- not every library has it
    import consul.aio  # noqa: PLC0415

    client = consul.aio.Consul(port=port)
    client.http._session._timeout = aiohttp.ClientTimeout(total=deadline)
    return client


def run_threads(port: int, deadline: float | None, rate: float, count: Callable[[], None]) -> None:
    client = sync_client(port, deadline)
    while _traffic.is_set():
        count()
        threading.Thread(target=handle_request, args=(client,), daemon=True).start()
        time.sleep(1 / rate)


async def run_asyncio(port: int, deadline: float | None, rate: float, count: Callable[[], None]) -> None:
    client = async_client(port, deadline)
    tasks = set()
    while _traffic.is_set():
        count()
        task = asyncio.create_task(handle_request_async(client))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(1 / rate)
    await asyncio.sleep(3600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--style", choices=["threads", "asyncio"], required=True)
    parser.add_argument("--rate", type=float, required=True, help="calls a second")
    parser.add_argument("--deadline", type=float, help="seconds (default: none)")
    parser.add_argument("--tally", required=True, help="a file that gets one byte for each call")
    arguments = parser.parse_args()
    providers()
    ConsulInstrumentor().instrument()
    tally = os.open(arguments.tally, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    signal.signal(signal.SIGUSR1, lambda *_: _traffic.clear())
    _traffic.set()
    style: Callable[..., Any] = run_threads if arguments.style == "threads" else run_asyncio
    running = style(arguments.port, arguments.deadline, arguments.rate, lambda: os.write(tally, b".") and None)
    if arguments.style == "asyncio":
        asyncio.run(running)
    time.sleep(3600)


if __name__ == "__main__":
    main()
