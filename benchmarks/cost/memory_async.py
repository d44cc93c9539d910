"""As `memory`, for asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import consul.aio
import consul.base
from multidict import CIMultiDict

from benchmarks.cost.memory import ANSWER, BODY, HEADERS


class Answering(consul.aio.HTTPClient):  # type: ignore[misc]
    """The client's transport object itself answers."""

    _answer = consul.base.Response(200, CIMultiDict({**HEADERS, "Content-Length": str(len(BODY))}), BODY)
    waits: asyncio.Event | None = None

    async def get(self, callback: Any, path: Any, params: Any = None, **kwargs: Any) -> Any:
        if path.endswith("/held") and self.waits is not None:
            await self.waits.wait()
        return callback(self._answer)


async def client() -> Any:
    """A client whose transport object answers; the key `held` when `client.http.waits` is set."""
    made = consul.aio.Consul()
    made.http.__class__ = Answering
    return made


class _Transport(asyncio.Transport):
    """A connection whose other side answers as soon as the loop turns."""

    def __init__(self, protocol: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 8500)})
        self._protocol = protocol
        self._closing = False

    def write(self, data: Any) -> None:
        asyncio.get_running_loop().call_soon(self._protocol.data_received, ANSWER)

    def writelines(self, data: Any) -> None:
        self.write(data)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Connector(aiohttp.BaseConnector):  # type: ignore[misc]
    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        protocol = self._factory()
        protocol.connection_made(_Transport(protocol))
        return protocol


async def session() -> Any:
    """aiohttp, whole, on connections that answer."""
    return aiohttp.ClientSession(connector=_Connector())


async def aiohttp_client() -> Any:
    """A client over `session`."""
    made = consul.aio.Consul()
    await made.http._session.close()
    made.http._session = await session()
    return made
