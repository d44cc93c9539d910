"""A checkout service that keeps carts, prices and stock in Consul, in two releases. It knows nothing of telemetry.

CONSUL_HTTP_ADDR  the agent at hand
CHECKOUT_FAR      host:port of an agent of the other datacenter, which is overloaded
CHECKOUT_BACKUP   host:port of an agent behind a firewall that swallows packets
CHECKOUT_RELEASE  1.0.0, or 1.1.0, which looks stock up far away, gives up too early and hangs on the backup
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import consul
import consul.aio
from requests.adapters import HTTPAdapter
from urllib3 import Retry

NEW = os.environ["CHECKOUT_RELEASE"] != "1.0.0"
FAR, BACKUP = os.environ["CHECKOUT_FAR"], os.environ["CHECKOUT_BACKUP"]
PRICES = 3

log = logging.getLogger("checkout")


def client(address: str = "", timeout: float | None = 2.0) -> consul.Consul:
    """One that tries again."""
    made = consul.Consul(*host_and_port(address), connections_timeout=timeout)
    made.http.session.mount("http://", HTTPAdapter(max_retries=Retry(total=2, status_forcelist=[500], redirect=3)))
    return made


def host_and_port(address: str) -> tuple[str | None, int | None]:
    """Of nothing: whatever CONSUL_HTTP_ADDR says."""
    host, _, port = address.partition(":")
    return host or None, int(port) if port else None


# --- threads: one call after the other --------------------------------------------------------------------------------


def every(seconds: float, work: Callable[[], Any]) -> None:
    """Do it so often, in a thread of its own, whatever comes of it."""

    def loop() -> None:
        while True:
            began = time.monotonic()
            try:
                work()
            except Exception as error:  # noqa: BLE001 -- whatever it is, the service goes on
                log.info("%s: %s", work, error)
            time.sleep(max(0.0, began + seconds - time.monotonic()))

    threading.Thread(target=loop, daemon=True).start()


def in_background(work: Callable[[], Any]) -> None:
    threading.Thread(target=work, daemon=True).start()


def back_office() -> None:
    near, far = client(), client(FAR)
    archive = consul.Consul(*host_and_port(FAR), connections_timeout=2)
    impatient = client(FAR, timeout=0.1 if NEW else 2.0)
    every(0.5, lambda: near.kv.put("checkout/orders", str(time.time())))
    every(1.0, near.catalog.services)
    every(3.0, lambda: far.catalog.service("billing"))
    every(5.0, lambda: archive.kv.put("archive/orders", "closed"))
    every(1.0, impatient.session.list)
    stock = far if NEW else near
    every(0.5, lambda: stock.health.service("stock", passing=True))
    if NEW:
        backup = client(BACKUP, timeout=None)
        every(2.0, lambda: in_background(backup.agent.services))
    else:
        every(1.0, near.agent.services)


# --- asyncio: many calls at once --------------------------------------------------------------------------------------


async def forever(seconds: float, work: Callable[[], Awaitable[Any]]) -> None:
    while True:
        with contextlib.suppress(asyncio.TimeoutError, OSError, consul.ConsulException):
            await work()
        await asyncio.sleep(seconds)


async def watch(ask: Callable[..., Awaitable[Any]], name: str, wait: str) -> None:
    index = None
    while True:
        index, _ = await ask(name, index=index, wait=wait)


async def show_prices(near: consul.aio.Consul) -> None:
    """Ask for some prices, and print a label meanwhile: the printer's library is not made for asyncio."""
    prices = [asyncio.ensure_future(near.kv.get(f"checkout/price/{number}")) for number in range(PRICES)]
    await asyncio.sleep(0)
    time.sleep(0.07)  # noqa: ASYNC251 -- this is the point
    await asyncio.gather(*prices)


async def try_coupon(far: consul.aio.Consul) -> None:
    """A coupon is nice to have: the customer pays meanwhile, and nobody waits for it."""
    coupon = asyncio.ensure_future(far.kv.get("coupons/today"))
    await asyncio.sleep(0.05)
    coupon.cancel()


async def main() -> None:
    near, far = consul.aio.Consul(), consul.aio.Consul(*host_and_port(FAR))
    await near.kv.put("checkout/config", "open=true")
    back_office()
    await asyncio.gather(
        forever(0.12, lambda: near.kv.get("checkout/cart")),
        forever(1.0, lambda: show_prices(near)),
        forever(0.5, lambda: far.kv.get("rates/eur", consistency="stale")),
        forever(4.0, lambda: try_coupon(far)),
        watch(near.kv.get, "checkout/config", "5s"),
        watch(far.health.service, "payments", "1s"),
    )


if __name__ == "__main__":
    asyncio.run(main())
