"""An agent that remembers every byte it is sent, and answers by a script: the n-th request gets the n-th answer."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from typing_extensions import Self

Fault = Literal["", "hang_up", "reset", "truncate", "no_http"]
Headers = tuple[tuple[str, str], ...]
HEADERS: Headers = (("X-Consul-Index", "7"), ("X-Consul-KnownLeader", "true"), ("X-Consul-LastContact", "0"))


@dataclass(frozen=True)
class Answer:
    """What one request gets."""

    status: int = 200
    body: bytes = b"[]"
    headers: Headers = HEADERS
    fault: Fault = ""

    def wire(self) -> bytes:
        """The answer as it is sent."""
        if self.fault == "no_http":
            return b"\x00\x01 this is not HTTP\r\n\r\n"
        head = [f"HTTP/1.1 {self.status} Some reason", *(f"{name}: {value}" for name, value in self.headers)]
        head.append(f"Content-Length: {len(self.body) + (100 if self.fault == 'truncate' else 0)}")
        return "\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape") + self.body


@dataclass
class RecordingAgent:
    """Serves on one port until the `with` block ends; `begin` forgets what came before it."""

    script: list[Answer] = field(default_factory=lambda: [Answer()])
    requests: list[tuple[int, bytes]] = field(default_factory=list)
    """Of each request the number of its connection, and its bytes."""

    @property
    def sent(self) -> list[tuple[int, bytes]]:
        """The requests, with the numbers of their connections in the order of their first requests."""
        numbers: dict[int, int] = {}
        return [(numbers.setdefault(number, len(numbers)), request) for number, request in self.requests]

    def begin(self, script: list[Answer]) -> None:
        with self._lock:
            self.script, self.requests, self._connections = script, [], 0
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.begin([Answer()])

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                number, self._connections = self._connections, self._connections + 1
                self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock, contextlib.suppress(OSError):
            left = b""
            while True:
                request, left = _read(sock, left)
                if not request:
                    break
                with self._lock:
                    answer = self.script[len(self.requests) % len(self.script)]
                    self.requests.append((number, request))
                if not _send(sock, answer):
                    break
        with self._lock:
            self._open.remove(sock)


def _read(sock: socket.socket, left: bytes) -> tuple[bytes, bytes]:
    """One whole request, and what has come of the next; nothing at the end."""
    data = left
    while b"\r\n\r\n" not in data:
        part = sock.recv(1 << 20)
        if not part:
            return b"", b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    fields = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
    lengths = [int(value) for name, _, value in fields if name == b"content-length"]
    chunked = any(name == b"transfer-encoding" and b"chunked" in value for name, _, value in fields)
    while (not body.endswith(b"0\r\n\r\n")) if chunked else len(body) < sum(lengths):
        part = sock.recv(1 << 20)
        if not part:
            return b"", b""
        body += part
    size = len(body) if chunked else sum(lengths)
    return head + b"\r\n\r\n" + body[:size], body[size:]


def _send(sock: socket.socket, answer: Answer) -> bool:
    """Whether the connection lives on."""
    if answer.fault == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if answer.fault not in ("hang_up", "reset"):
        sock.sendall(answer.wire())
    return answer.fault == ""
