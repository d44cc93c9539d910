"""A TCP proxy that can fall silent, slow down, reset or refuse: the network between a client and its agent."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from testbed.limits import allow_many_files

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from typing_extensions import Self

T = TypeVar("T")
_CHUNK = 65536


class TcpProxy:
    """`with TcpProxy(8500) as proxy:` forwards `proxy.port` to that port. All methods may be called from any thread."""

    def __init__(self, target_port: int, *, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = 0
        self.accepted = 0
        """Connections taken so far."""
        self._target = (host, target_port)
        self._delay = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._links: set[_Link] = set()

    @property
    def open(self) -> int:
        """Connections that are up."""
        return len(self._links)

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    # What the network does

    def freeze(self) -> None:
        """Forward nothing, either way, not even the end of a connection; take new connections and say nothing."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def thaw(self) -> None:
        """Forward again, first what was held back."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def delay(self, seconds: float) -> None:
        """Deliver what the server sends this much later than it came; 0 ends it."""
        self._delay = seconds

    def reset_all(self) -> None:
        """Send RST on every connection that is up, both ways."""
        self._run(self._end_all(reset=True))

    def close_all(self) -> None:
        """Send FIN on every connection that is up, both ways."""
        self._run(self._end_all(reset=False))

    def refuse(self) -> None:
        """Listen no more: new connections are refused. Those that are up stay."""
        self._run(self._unlisten())

    def accept(self) -> None:
        """Listen again, on the same port."""
        self._run(self._listen())

    # Life

    def start(self) -> Self:
        allow_many_files()
        self._thread.start()
        self._run(self._listen())
        return self

    def stop(self) -> None:
        self._run(self._unlisten())
        self._run(self._end_all(reset=False))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # Within: all on the loop's thread

    def _run(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(5.0)

    async def _listen(self) -> None:
        if self.port == 0:
            self._flowing = asyncio.Event()
            self._flowing.set()
        listener = socket.create_server((self.host, self.port), backlog=1024)
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._connected, sock=listener)

    async def _unlisten(self) -> None:
        self._server.close()  # not wait_closed(): since Python 3.12 it waits for the connections, which stay

    async def _end_all(self, *, reset: bool) -> None:
        links = list(self._links)
        for link in links:
            link.end(reset=reset)
            link.task.cancel()
        if links:
            await asyncio.wait([link.task for link in links], timeout=2.0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        if task is None:  # cannot be: asyncio makes a task of this coroutine
            return
        link = _Link(task, [writer])
        self._links.add(link)
        try:
            await self._flowing.wait()
            up_reader, up_writer = await asyncio.open_connection(*self._target)
            link.writers.append(up_writer)
            await self._forward((reader, up_writer), (up_reader, writer))
        except OSError:  # an error on one side is an error on the other
            link.end(reset=True)
        except asyncio.CancelledError:  # _end_all() has ended it
            pass
        finally:
            self._links.discard(link)
            link.end(reset=False)

    async def _forward(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Both ways, to the end of both. OSError when either side ends badly (not before the network flows)."""
        tasks = []
        for slow, (reader, writer) in enumerate(ways):
            queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)
            tasks.append(asyncio.ensure_future(self._read(reader, queue, slow=bool(slow))))
            tasks.append(asyncio.ensure_future(self._send(queue, writer)))
        try:
            await asyncio.gather(*tasks)
        except OSError:
            await self._flowing.wait()
            raise
        finally:
            for task in tasks:
                task.cancel()

    async def _read(
        self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]], *, slow: bool
    ) -> None:
        # Apart from sending: data that is due late does not hold up reading. It is latency, not a brake.
        data = b"-"
        while data:
            data = await reader.read(_CHUNK)
            await queue.put((self._loop.time() + (self._delay if slow else 0.0), data))

    async def _send(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._flowing.wait()
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()


class _Link:
    """A client's connection and ours to the server, as one."""

    def __init__(self, task: asyncio.Task[None], writers: list[asyncio.StreamWriter]) -> None:
        self.task = task
        self.writers = writers

    def end(self, *, reset: bool) -> None:
        """Close both, with RST or FIN. Safe to call twice."""
        for writer in self.writers:
            if reset and not writer.is_closing():
                sock = writer.get_extra_info("socket")
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()
