"""One call of a scenario, by the synchronous client and by the asyncio one."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any
from unittest import mock

import aiohttp
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
    with disturbed(scenario) if disturb else nullcontext(), decoding.watching():
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
    with disturbed(scenario) if disturb else nullcontext(), decoding.watching():
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
    """A stopwatch for what is done with an answer once it is here, from below the plugin's signals to the callback's end.

    It starts with requests' last read of the socket, and with aiohttp where its stream gives the body: requests joins
    the parts after that, aiohttp before.
    """

    def __init__(self, client: Any) -> None:
        self.seconds = 0.0
        self._came = 0.0
        """When the last part came."""
        self._http = http = client.__dict__["http"]
        self._get = http.get
        http.get = self._timed_get

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While the block runs, note when a part of an answer comes."""
        of_socket, of_stream = socket.SocketIO.readinto, aiohttp.StreamReader.read

        def readinto(sock: Any, buffer: Any) -> Any:
            result = of_socket(sock, buffer)
            self._came = time.perf_counter()
            return result

        async def read(stream: Any, *args: Any) -> Any:
            result = await of_stream(stream, *args)
            self._came = time.perf_counter()
            return result

        with (
            mock.patch.object(socket.SocketIO, "readinto", readinto),
            mock.patch.object(aiohttp.StreamReader, "read", read),
        ):
            yield

    def _timed_get(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        self.seconds = self._came = 0.0
        return self._get(self._timed(callback), *args, **kwargs)

    def _timed(self, function: Any) -> Any:
        def stopwatch(*args: Any, **kwargs: Any) -> Any:
            start = self._came or time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds = time.perf_counter() - start

        return stopwatch
