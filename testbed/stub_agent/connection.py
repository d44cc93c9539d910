"""One client connection: reads requests, writes answers by hand, and lets faults decide every byte."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import struct
import time
from typing import TYPE_CHECKING

from testbed.stub_agent.messages import Answer, Request, read_request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    from testbed.stub_agent.faults import Fault, Gate, Injected

_POLL_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Gone(Exception):
    """The client went, the agent stops, or a fault ended the connection: nothing more to do here."""


class Connection:
    """Owned by one thread; `stopping` opens when the agent stops."""

    def __init__(self, sock: socket.socket, number: int, stopping: Gate) -> None:
        self._sock = sock
        self.number = number
        self._stopping = stopping
        # Without this a dripped byte could wait for the one before it to be acknowledged.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start_tls(self, context: ssl.SSLContext, delay: float) -> None:
        """Shake hands, `delay` seconds late (math.inf: never)."""
        self._pause(delay, None)
        # Not in one step: stop() must find the socket that shakes hands.
        self._sock = tls = context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
        if self._stopping.is_open:
            raise Gone  # shut() may have met the socket that was replaced
        tls.do_handshake()

    def serve(self, answer: Callable[[Request], tuple[Answer, Injected | None]]) -> None:
        """Requests and answers until the client goes. OSError and ValueError mean it went rudely."""
        with self._sock.makefile("rb") as stream:
            while request := read_request(stream, self.number, time.monotonic):
                self._reply(*answer(request))
                if request.headers.get("connection", "").lower() == "close":
                    return

    def close(self) -> None:
        """With FIN. Safe to call twice."""
        self._sock.close()

    def shut(self) -> None:
        """From any thread: wake the one that waits in this connection, who then closes it; close() would not."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _reply(self, answer: Answer, injected: Injected | None) -> None:
        if injected is None:
            self._sock.sendall(answer.head(chunked=False) + answer.body)
            return
        fault, gate = injected.fault, injected.gate
        self._pause(fault.delay, gate)
        head = answer.head(chunked=fault.chunked)
        cut = len(answer.body) // 2 if fault.stop_after == "half" else len(answer.body)
        first, second = _parts(answer.body, cut, chunked=fault.chunked)
        if fault.stop_after == "nothing":
            self._break(fault, gate)
        self._write(head, fault, gate, dripped=fault.drip in ("headers", "all"))
        if fault.stop_after == "headers":
            self._break(fault, gate)
        self._write(first, fault, gate, dripped=fault.drip in ("body", "all"))
        if fault.stop_after == "half":
            self._break(fault, gate)
        self._write(second, fault, gate, dripped=fault.drip in ("body", "all"))
        if fault.hang_up:
            raise Gone

    def _break(self, fault: Fault, gate: Gate) -> None:
        if fault.stop == "hang":
            self._pause(math.inf, gate)  # released: the answer goes on
        elif fault.stop is not None:
            if fault.stop_after != "nothing":
                time.sleep(0.02)  # let the client read what was sent: a RST may overtake it
            if fault.stop == "reset":
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Gone

    def _write(self, data: bytes, fault: Fault, gate: Gate, *, dripped: bool) -> None:
        if not dripped or fault.drip_bytes <= 0:
            self._sock.sendall(data)
            return
        for piece in _pieces(data, fault.drip_bytes):
            self._sock.sendall(piece)
            self._pause(fault.drip_every, gate)

    def _pause(self, seconds: float, gate: Gate | None) -> None:
        """Wait, but not past the gate's opening. Gone when the client leaves or the agent stops meanwhile."""
        end = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._sock.fileno(), _POLL_GONE)
        poll.register(self._stopping.fileno(), select.POLLIN)
        if gate is not None:
            poll.register(gate.fileno(), select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            ready = {fd for fd, _ in poll.poll(None if left == math.inf else math.ceil(left * 1000))}
            if ready & {self._sock.fileno(), self._stopping.fileno()}:
                raise Gone
            if ready:
                return


def _parts(body: bytes, cut: int, *, chunked: bool) -> tuple[bytes, bytes]:
    """The body as it goes on the wire, up to the cut and from there."""
    if not chunked:
        return body[:cut], body[cut:]
    return _chunk(body[:cut]), _chunk(body[cut:]) + b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def _pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))
