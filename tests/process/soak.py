"""A program that does everything at once, while garbage is collected all the time and threads take turns as often as can be.

For SOAK_SECONDS, with an agent at CONSUL_HTTP_ADDR. It prints what it did, and how many calls are still open.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import consul
import consul.aio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_consul

END = time.monotonic() + float(os.environ["SOAK_SECONDS"])
done: Counter[str] = Counter()
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracer_provider, meter_provider = TracerProvider(), MeterProvider([reader])
tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))


class Garbage:
    """Collected at any moment; its finalizer lets other threads run, as closing a socket does."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        time.sleep(0.0001)


def instrument() -> None:
    otel_consul.ConsulInstrumentor().instrument(
        tracer_provider=tracer_provider, meter_provider=meter_provider, stall_threshold=0.005
    )


def call() -> None:
    client = consul.Consul()
    for _ in range(5):
        client.kv.get(random.choice(["a", "b"]))
        Garbage()


def call_in_a_new_thread() -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


async def one(client: consul.aio.Consul) -> None:
    Garbage()
    await asyncio.wait_for(client.kv.get("a"), random.choice([0.01, 0.2, 1]))


async def many() -> None:
    client = consul.aio.Consul()
    tasks = [asyncio.create_task(one(client)) for _ in range(8)]
    if random.random() < 0.3:
        await asyncio.sleep(0)
        tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()


def look() -> None:
    otel_consul.open_calls()
    reader.get_metrics_data()
    exporter.clear()


def switch() -> None:
    time.sleep(0.2)
    otel_consul.ConsulInstrumentor().uninstrument()
    instrument()


def repeat(act: Callable[[], object]) -> None:
    while time.monotonic() < END:
        act()
        done[act.__name__] += 1


def many_at_once() -> None:
    asyncio.run(many())


def main() -> None:
    faulthandler.enable()
    logging.disable()  # calls that stall by intent
    gc.set_threshold(20)
    sys.setswitchinterval(1e-5)
    instrument()
    acts = [*[call] * 8, *[call_in_a_new_thread] * 4, many_at_once, many_at_once, look, switch]
    threads = [threading.Thread(target=repeat, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(f"{sorted(done)}, open: {len(otel_consul.open_calls())}\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
