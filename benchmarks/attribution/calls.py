"""One call of a scenario, by the synchronous client and by the asyncio one."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import consul
import consul.aio
import requests.adapters
import urllib3

from benchmarks.attribution.disturbances import disturbed
from benchmarks.attribution.scenarios import Scenario
from benchmarks.attribution.stage import Reading, Stage

Around = Callable[[], Any]


def client_options(scenario: Scenario, stage: Stage, port: int, host: str) -> dict[str, Any]:
    if scenario.place == "tls":
        return {"host": host, "port": port, "scheme": "https", "verify": stage.agent("tls").ca_file}
    return {"host": host, "port": port}


def operation_of(client: Any, scenario: Scenario, index: str) -> Callable[[], Any]:
    name, args, kwargs = scenario.operation
    filled = {key: index if value == "current" else value for key, value in kwargs.items()}
    return functools.partial(functools.reduce(getattr, name.split("."), client), *args, **filled)


def sync(
    scenario: Scenario, stage: Stage, options: dict[str, Any], *, disturb: bool, begin: Around, index: str
) -> Reading:
    """By `consul.Consul`."""
    client = consul.Consul(**options)
    session = client.http.session
    if scenario.retries:
        retry = urllib3.Retry(total=3, backoff_factor=0.2, status_forcelist=[500])
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
    if scenario.holders:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=1, pool_block=True))
    if not scenario.fresh:
        client.kv.get("b")
    decoding = Decoding(client)
    work = operation_of(client, scenario, index)
    holder = threading.Thread(target=client.kv.get, args=("held",)) if scenario.holders and disturb else None
    stage.spans()
    if disturb:
        begin()
    if holder is not None:
        holder.start()
        while not session.adapters["http://"].poolmanager.pools.keys() or not _taken(session):
            time.sleep(0.0005)
    seconds = 0.0
    with disturbed(scenario) if disturb else nullcontext():
        start = time.perf_counter()
        for _ in range(scenario.calls):
            with suppress(consul.ConsulException):
                work()
        seconds = time.perf_counter() - start
    if holder is not None:
        holder.join()
    client.http.session.close()
    return _mean(stage, scenario, seconds, decoding)


def _taken(session: Any) -> bool:
    pools: Any = session.adapters["http://"].poolmanager.pools
    return all(pools[key].pool.qsize() == 0 for key in pools.keys())  # noqa: SIM118 -- no mapping


def by_asyncio(
    scenario: Scenario, stage: Stage, options: dict[str, Any], *, disturb: bool, begin: Around, index: str
) -> Reading:
    """By `consul.aio.Consul`."""
    return asyncio.run(_by_asyncio(scenario, stage, options, disturb=disturb, begin=begin, index=index))


async def _by_asyncio(
    scenario: Scenario, stage: Stage, options: dict[str, Any], *, disturb: bool, begin: Around, index: str
) -> Reading:
    limit = {"connections_limit": 2} if scenario.holders else {}
    client = consul.aio.Consul(**options, **limit)
    if not scenario.fresh:
        await client.kv.get("b")
    holders = []
    decoding = Decoding(client)
    work = operation_of(client, scenario, index)
    stage.spans()
    if disturb:
        begin()
        holders = [asyncio.ensure_future(client.kv.get("held")) for _ in range(scenario.holders)]
        if holders:
            await asyncio.sleep(0.005)  # they are on their way
    with disturbed(scenario) if disturb else nullcontext():
        start = time.perf_counter()
        for _ in range(scenario.calls):
            with suppress(consul.ConsulException):
                await work()
        seconds = time.perf_counter() - start
    await asyncio.gather(*holders)
    reading = _mean(stage, scenario, seconds, decoding)
    await client.close()
    return reading


def _mean(stage: Stage, scenario: Scenario, seconds: float, decoding: Decoding) -> Reading:
    def is_ours(attributes: Any) -> bool:
        return bool(attributes.get("consul.kv.key") == scenario.operation[1][0])

    spans = [span for span in stage.spans() if is_ours(span.attributes)][-scenario.calls :]
    assert len(spans) == scenario.calls, f"{len(spans)} spans"
    readings = [Reading(span, seconds / scenario.calls) for span in spans]
    first = readings[0]
    first.decoding = decoding.seconds
    keys = {key for reading in readings for key in reading.given}
    first.given = {key: sum(r.given.get(key, 0.0) for r in readings) / len(readings) for key in keys}
    return first


class Decoding:
    """A stopwatch around what the client does with an answer, between the plugin and the client."""

    def __init__(self, client: Any) -> None:
        self.seconds = 0.0
        self._http = http = client.__dict__["http"]
        self._get = http.get
        http.get = self._timed_get
        if hasattr(http, "response"):  # where the synchronous client makes text of bytes
            http.response = self._timed(http.response)

    def _timed_get(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        self.seconds = 0.0
        return self._get(self._timed(callback), *args, **kwargs)

    def _timed(self, function: Any) -> Any:
        def stopwatch(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return stopwatch
