"""A small web shop that keeps its prices, stock and leader in Consul. It knows nothing of telemetry.

Reads CONSUL_HTTP_ADDR, as its Consul clients do, and:
SHOP_CONNECTIONS  most connections its asyncio client may open (default: aiohttp's 100)
SHOP_PRICE_LIST   seconds it takes to upload the price list (default: none is made)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time

import consul
import consul.aio

CUSTOMERS = 6
PRODUCTS = 10
CONNECTIONS = int(os.environ.get("SHOP_CONNECTIONS", "0")) or None
PRICE_LIST = float(os.environ.get("SHOP_PRICE_LIST", "0"))

log = logging.getLogger("shop")


# --- the back office: a thread, one call after the other ------------------------------------------------------------


def back_office(closed: threading.Event) -> None:
    """Lead if nobody else does, say that we are alive, keep the books."""
    client = consul.Consul()
    client.agent.service.register("shop", check=consul.Check.ttl("10s"))
    session = client.session.create("shop", ttl=10, lock_delay=0)
    leads = client.kv.put("shop/leader", "shop-1", acquire=session)
    sold = 0
    while not closed.wait(0.1):
        client.agent.check.ttl_pass("service:shop")
        if leads:
            client.session.renew(session)
        _, stock = client.kv.get("shop/stock")
        sold += 1
        client.kv.put("shop/stock", str(sold), cas=stock["ModifyIndex"] if stock else 0)
        if sold % 10 == 0:
            client.kv.put("shop/config", f"banner={sold}")
    client.kv.put("shop/leader", "", release=session)
    client.session.destroy(session)
    client.agent.service.deregister("shop")


# --- the shop itself: asyncio, many calls at once -------------------------------------------------------------------


async def customer(client: consul.aio.Consul, number: int, closed: asyncio.Event) -> None:
    """Find the service, read a price, try a coupon; then think."""
    while not closed.is_set():
        await client.health.service("shop", passing=True)
        await client.kv.get(f"shop/price/{number % PRODUCTS}")
        with contextlib.suppress(asyncio.TimeoutError):  # a coupon is worth half a second, not more
            await asyncio.wait_for(client.kv.get(f"shop/coupon/{number}"), 0.5)
        await asyncio.sleep(0.1)


async def watch_config(client: consul.aio.Consul) -> None:
    index = None
    while True:
        index, _ = await client.kv.get("shop/config", index=index, wait="1s")
        await asyncio.sleep(0.05)  # not at once: changes come in bursts


async def watch_health(client: consul.aio.Consul) -> None:
    index = None
    while True:
        index, _ = await client.health.service("payments", index=index, wait="1s")
        await asyncio.sleep(0.05)


async def publish_prices(client: consul.aio.Consul) -> None:
    """Read all prices, and upload the last ones meanwhile: it looks clever, and blocks the event loop."""
    while True:
        prices = [asyncio.ensure_future(client.kv.get(f"shop/price/{number}")) for number in range(PRODUCTS)]
        await asyncio.sleep(0)
        upload_price_list()
        await asyncio.gather(*prices)
        await asyncio.sleep(0.3)


def upload_price_list() -> None:
    """Stands for any library that is not made for asyncio."""
    time.sleep(PRICE_LIST)


async def shop(closed: asyncio.Event) -> None:
    client = consul.aio.Consul(connections_limit=CONNECTIONS)
    await asyncio.gather(*(client.kv.put(f"shop/price/{number}", f"{number}.99") for number in range(PRODUCTS)))
    work = [customer(client, number, closed) for number in range(CUSTOMERS)]
    work += [watch_config(client), watch_health(client)]
    if PRICE_LIST:
        work.append(publish_prices(client))
    tasks = [asyncio.ensure_future(one) for one in work]
    await asyncio.wait([asyncio.ensure_future(closed.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("a task failed", exc_info=result)
    await client.close()


async def main() -> None:
    closed, office_closed = asyncio.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, closed.set)
    office = threading.Thread(target=back_office, args=(office_closed,), name="back-office")
    office.start()
    try:
        await shop(closed)
    finally:
        office_closed.set()
        office.join()


if __name__ == "__main__":
    asyncio.run(main())
