"""The attribution suite's faults as a process that only sends metrics: `python -m tests.dashboards.blind_program URL`.

Each case is a service of its own. Beside the disturbed call others are made that nothing is done to, so that there is
somebody innocent to accuse. Prints a line of JSON for each case: its number, when it began and ended, and for which
share of that the machine had no processor for it; no more, for who judges shall look at the dashboards alone.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import consul
import consul.aio
import requests
import requests.adapters
import urllib3
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from benchmarks.attribution import clusters, disturbances
from benchmarks.attribution.calls import client_options, operation_of
from benchmarks.attribution.disturbances import disturbed
from benchmarks.attribution.scenarios import SCENARIOS, Scenario
from benchmarks.attribution.stage import Stage, slow_names
from otel_consul import ConsulInstrumentor

REPEATS = 3
QUEUE = 4
"""Callers that wait where a pool is exhausted: more of them than hold it."""
CASES = [(scenario, style) for scenario in SCENARIOS for style in scenario.styles]
EXPORT_SECONDS = 0.5
BIG_BYTES = 20_000_000
"""What "20 MB to decode" means."""


@dataclass
class Client:
    """What one style needs."""

    scenario: Scenario
    stage: Stage
    options: dict[str, Any]
    begin: Callable[[], Any]
    index: Callable[[], str]
    flush: Callable[[], Any]
    more_faults: tuple[Mapping[str, Any], ...]

    @contextmanager
    def faults(self) -> Iterator[None]:
        """In force for one repetition."""
        agent = self.stage.agent(self.scenario.place) if self.scenario.place != "cluster" else None
        faults = (*self.scenario.faults, *self.more_faults)
        with agent.faulty(replace(self.scenario, faults=faults)) if agent and faults else ExitStack():
            yield

    def repeats(self) -> Iterator[None]:
        # At least two: to Prometheus the first value of a new series is no increase.
        for _ in range(max(2, self.scenario.repeats or REPEATS)):
            yield
            self.flush()

    # --- threads ------------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        client = self._sync_client()
        client.kv.get("b")
        self.flush()
        for _ in self.repeats():
            if self.scenario.fresh:
                client = self._sync_client()
            work = operation_of(client, self.scenario, self.index())
            threads = [threading.Thread(target=client.kv.get, args=("held",))] if self.scenario.holders else []
            with self.faults():
                self.begin()
                for thread in threads:
                    thread.start()
                    time.sleep(0.02)
                threads += [threading.Thread(target=work) for _ in range(QUEUE - 1 if self.scenario.holders else 0)]
                with disturbed(self.scenario):
                    for thread in threads[1:]:
                        thread.start()
                    for _ in range(self.scenario.calls):
                        with suppress(consul.ConsulException):
                            work()
                for thread in threads:
                    thread.join()

    def _sync_client(self) -> Any:
        client = consul.Consul(**self.options)
        adapter: dict[str, Any] = {}
        if self.scenario.retries:
            adapter["max_retries"] = urllib3.Retry(total=3, backoff_factor=0.2, status_forcelist=[500])
        if self.scenario.holders:
            adapter |= {"pool_connections": 1, "pool_maxsize": 1, "pool_block": True}
        if adapter:
            client.http.session.mount("http://", requests.adapters.HTTPAdapter(**adapter))
        return client

    # --- asyncio ------------------------------------------------------------------------------------------------------

    def asyncio(self) -> None:
        asyncio.run(self._asyncio())

    async def _asyncio(self) -> None:
        client = self._asyncio_client()
        await client.kv.get("b")
        self.flush()
        for _ in self.repeats():
            if self.scenario.fresh:
                await client.close()
                client = self._asyncio_client()
            work = operation_of(client, self.scenario, self.index())
            with self.faults():
                self.begin()
                others = [asyncio.ensure_future(client.kv.get("held")) for _ in range(self.scenario.holders)]
                await asyncio.sleep(0.005)
                others += [asyncio.ensure_future(work()) for _ in range(QUEUE - 1 if self.scenario.holders else 0)]
                with disturbed(self.scenario):
                    for _ in range(self.scenario.calls):
                        with suppress(consul.ConsulException):
                            await work()
                await asyncio.gather(*others)
        await client.close()

    def _asyncio_client(self) -> Any:
        return consul.aio.Consul(**self.options, **({"connections_limit": 2} if self.scenario.holders else {}))


def ready_made() -> tuple[Mapping[str, Any], ...]:
    """The big answer without the time the stand-in takes to make it: that would be a slow server besides.

    In small entries: large ones decode so fast that on a loaded machine receiving them truly takes longest.
    """
    entry = {"LockIndex": 0, "Key": "big/1", "Flags": 0, "Value": "eHh4eHh4", "CreateIndex": 1, "ModifyIndex": 1}
    body = json.dumps([entry] * (BIG_BYTES // len(json.dumps(entry))))
    return ({"path": "/v1/kv/big/", "status": 200, "body": body, "headers": {"X-Consul-Index": "1"}},)


@contextmanager
def innocent(port: int) -> Iterator[None]:
    """Calls of other operations, to an agent that nothing is done to."""
    ended = threading.Event()

    def ask() -> None:
        client = consul.Consul(port=port)
        while not ended.wait(0.2):
            client.health.service("web")
            client.catalog.services()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def starved_for() -> float:
    """Seconds for which this thread, who makes the calls, was ready to run and the machine had no processor for it.

    0 where the kernel does not say: then all is judged strictly.
    """
    account = Path("/proc/thread-self/schedstat")
    return int(account.read_text().split()[1]) / 1e9 if account.exists() else 0.0


def play(number: int, stage: Stage, url: str) -> None:
    """One case, as a service of its own."""
    scenario, style = CASES[number]
    provider = MeterProvider(
        [PeriodicExportingMetricReader(OTLPMetricExporter(url), EXPORT_SECONDS * 1000)],
        Resource.create({"service.name": f"case-{number}"}),
        shutdown_on_exit=False,
    )
    ConsulInstrumentor().instrument(meter_provider=provider)
    try:
        with ExitStack() as stack:
            begin: Callable[[], Any] = str  # nothing
            index: Callable[[], str] = str
            options: dict[str, Any]
            if scenario.place == "cluster":
                place = stack.enter_context(clusters.placed(scenario))
                options = {"host": "127.0.0.1", "port": place.port}
                begin, index = place.begin, place.index
                if scenario.action == "lose_quorum":
                    index = str
            else:
                agent = stage.agent(scenario.place)
                options = client_options(scenario, stage, agent.port, scenario.host)
                if scenario.place == "backlog":
                    begin = functools.partial(agent.tell, "full")
            ready = ready_made() if scenario.operation[1] == ("big/",) else ()
            if grown := [one for one in scenario.disturbances if one.kind.startswith("collect")]:
                disturbances.grow_junk(grown[0].seconds)
                stack.callback(disturbances.drop_junk)
            else:
                gc.disable()  # a collection that nobody injected would rightly be told of: a large answer causes some
                stack.callback(gc.enable)
            with innocent(stage.agent("agent").port):
                time.sleep(EXPORT_SECONDS)
                began, starved = time.time(), starved_for()
                client = Client(scenario, stage, options, begin, index, provider.force_flush, ready)
                getattr(client, style)()
            starved, ended = starved_for() - starved, time.time()
            line = {"number": number, "began": began, "ended": ended, "starved": starved / (ended - began)}
            sys.stdout.write(json.dumps(line) + "\n")
    finally:
        ConsulInstrumentor().uninstrument()
        provider.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="where metrics go by OTLP")
    parser.add_argument("--clusters", action="store_true", help="those cases that need a Consul; else the others")
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    chosen = parser.parse_args()
    stage = Stage()
    ConsulInstrumentor().uninstrument()  # a provider for each case instead
    try:
        with slow_names():
            for number, (scenario, _) in enumerate(CASES):
                if (scenario.place == "cluster") == chosen.clusters and chosen.only in scenario.name:
                    play(number, stage, chosen.url)
    finally:
        stage.close()


if __name__ == "__main__":
    main()
