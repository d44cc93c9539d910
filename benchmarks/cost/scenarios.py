"""The ways a `kv.get` is called here: what answers it, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from benchmarks.cost.timing import repeat

KEY = "benchmark/a"


class Scenario(NamedTuple):
    """One way to call."""

    name: str
    make: Callable[[], Any]
    """A new client of this kind."""
    full: bool
    """Whether the HTTP library works, so that its own instrumentation can be compared."""
    batch: int
    """Calls in a batch, in per cent of the usual: slower scenarios have fewer."""


@contextmanager
def loopback() -> Iterator[int | str]:
    """A real Consul's port with the key in it; or why there is none."""
    from testbed import consul

    with ExitStack() as stack:
        try:
            agent = stack.enter_context(consul.agent())
            agent.call("PUT", f"/v1/kv/{KEY}", b"a")
        except (consul.Unavailable, RuntimeError, OSError) as why:
            yield f"no Consul here: {why}"
            return
        yield agent.port


def sync(port: int | None) -> list[Scenario]:
    import consul

    from benchmarks.cost import memory

    found = [
        Scenario("sync, client's transport answers", memory.client, full=False, batch=100),
        Scenario("sync, requests + urllib3 from memory", memory.requests_client, full=True, batch=40),
    ]
    if port is not None:
        found.append(
            Scenario("sync, real Consul on loopback", lambda: consul.Consul(port=port), full=True, batch=25),
        )
    return found


def asynchronous(port: int | None) -> list[Scenario]:
    import consul.aio

    from benchmarks.cost import memory_async

    async def real() -> Any:
        return consul.aio.Consul(port=port)

    found = [
        Scenario("asyncio, client's transport answers", memory_async.client, full=False, batch=100),
        Scenario("asyncio, aiohttp from memory", memory_async.aiohttp_client, full=True, batch=40),
    ]
    if port is not None:
        found.append(Scenario("asyncio, real Consul on loopback", real, full=True, batch=25))
    return found


def calls(client: Any) -> Callable[[int], None]:
    """`kv.get` so many times."""
    return repeat(lambda: client.kv.get(KEY))


def repeat_async(loop: asyncio.AbstractEventLoop, call: Callable[[], Awaitable[Any]]) -> Callable[[int], None]:
    """Await it so many times, on this loop."""

    async def some(times: int) -> None:
        for _ in range(times):
            await call()

    return lambda times: loop.run_until_complete(some(times))


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
