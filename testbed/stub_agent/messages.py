"""One HTTP request and one answer, as the stand-in agent sees them, and how a request is read off a socket."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Request:
    """What one client sent. `target` is as on the wire; `path` and `query` are decoded; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    """The connection it came on, counted from 1: two requests with the same number shared a socket."""
    at: float
    """time.monotonic() when it had been read."""

    @cached_property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def option(self, name: str) -> str | None:
        """The first value of a query parameter, "" for a bare flag, None when it is absent."""
        values = self.query.get(name)
        return values[0] if values else None

    def flag(self, name: str) -> bool:
        """Whether the parameter is there, whatever its value: Consul reads flags so."""
        return name in self.query

    def json(self) -> Any:
        """The body as JSON, {} when empty. ValueError when it is not JSON."""
        return json.loads(self.body) if self.body else {}

    def fields(self) -> dict[str, Any]:
        """The body as an object with lower-case names. ValueError when it is none."""
        return lowered(self.json())


def lowered(value: Any) -> dict[str, Any]:
    """An object's own names in lower case: Go reads them in any case, and clients write them so and so."""
    if not isinstance(value, dict):
        raise ValueError(f"no object: {value!r}")  # noqa: TRY004 - to callers it is JSON of no use, like bad JSON
    return {name.lower(): item for name, item in value.items()}


@dataclass
class Answer:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Answer:
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    @classmethod
    def text(cls, status: int, text: str) -> Answer:
        return cls(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})

    def head(self, *, chunked: bool) -> bytes:
        """Status line and headers, blank line included."""
        try:
            reason = HTTPStatus(self.status).phrase
        except ValueError:
            reason = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{k}: {v}" for k, v in self.headers.items())]
        lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def read_request(stream: BinaryIO, connection: int, clock: Any) -> Request | None:
    """The next request, or None when the client closed. ValueError when what came is not HTTP."""
    line = stream.readline(65536)
    if not line:
        return None
    method, target, _version = line.decode("latin-1").split(None, 2)
    headers: dict[str, str] = {}
    while (line := stream.readline(65536)) not in (b"\r\n", b"\n"):
        if not line:
            return None
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(method, target, headers, _read_body(stream, headers), connection, clock())


def _read_body(stream: BinaryIO, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return stream.read(int(headers.get("content-length", "0")))
    body = bytearray()
    while size := int(stream.readline(1024).partition(b";")[0], 16):
        body += stream.read(size)
        stream.readline(1024)
    stream.readline(1024)
    return bytes(body)
