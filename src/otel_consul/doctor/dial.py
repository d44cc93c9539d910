"""One connection and one question, with an end to it; and why there was no answer."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""How HTTP/2 begins, with an empty SETTINGS frame."""
_MOST: Final = 256_000
_SETTINGS: Final = 4
_FRAME: Final = 9


class Why:
    """Reasons."""

    DNS: Final = "dns"
    REFUSED: Final = "refused"
    TIMEOUT: Final = "timeout"
    SILENT: Final = "silent"
    UNREACHABLE: Final = "unreachable"
    NOT_TLS: Final = "not_tls"
    CERTIFICATE: Final = "certificate"
    TLS: Final = "tls"
    CLOSED: Final = "closed"


class NoAnswer(Exception):  # noqa: N818 -- it says what happened
    """There is none."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


UNTOLD: Final = frozenset({Why.SILENT, Why.CLOSED, Why.TLS})
"""What a server may do that is asked in a way it does not speak."""
WORDS: Final[Mapping[str, str]] = {
    Why.DNS: "its name cannot be looked up (DNS)",
    Why.REFUSED: "the connection is refused: nothing listens there",
    Why.TIMEOUT: "no connection comes about in time: a firewall drops it, or the address is wrong",
    Why.SILENT: "it takes the connection and then says nothing in time",
    Why.UNREACHABLE: "there is no way to that address from here",
    Why.NOT_TLS: "it does not speak TLS, which https demands. Use http",
    Why.CERTIFICATE: "its certificate is not trusted here",
    Why.TLS: "the TLS handshake fails",
    Why.CLOSED: "it closes the connection without an answer",
}
"""Each completes `The endpoint X does not answer: ...`."""


@dataclass(frozen=True)
class Answer:
    """What an HTTP server said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Place:
    """Where to connect, and how."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    path: str = ""
    """Of a unix socket, in place of host and port."""
    timeout: float = 1.0


def connect(place: Place, *, alpn: str = "") -> socket.socket:
    """A connection, TLS included. NoAnswer."""
    try:
        sock = _plain(place)
    except socket.gaierror:
        raise NoAnswer(Why.DNS) from None
    except UnicodeError:
        raise NoAnswer(Why.DNS) from None
    except (ConnectionRefusedError, FileNotFoundError):
        raise NoAnswer(Why.REFUSED) from None
    except TimeoutError:
        raise NoAnswer(Why.TIMEOUT) from None
    except OSError:
        raise NoAnswer(Why.UNREACHABLE) from None
    if place.tls is None:
        return sock
    try:
        if alpn:
            place.tls.set_alpn_protocols([alpn])
        return place.tls.wrap_socket(sock, server_hostname=place.host)
    except ssl.SSLCertVerificationError:
        why = Why.CERTIFICATE
    except ssl.SSLError as exc:
        text = str(exc)
        why = (
            Why.NOT_TLS
            if any(sign in text for sign in ("WRONG_VERSION_NUMBER", "RECORD_LAYER", "PROTOCOL"))
            else Why.TLS
        )
    except TimeoutError:
        why = Why.SILENT
    except (OSError, ValueError):
        why = Why.CLOSED
    sock.close()
    raise NoAnswer(why)


def _plain(place: Place) -> socket.socket:
    if place.path:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(place.timeout)
        sock.connect(place.path)
        return sock
    return socket.create_connection((place.host, place.port), place.timeout)


def converse(place: Place, said: bytes, *, alpn: str = "") -> bytes:
    """What comes back, up to the end of an HTTP answer, of the connection or of the time. NoAnswer if nothing does."""
    end = time.monotonic() + place.timeout
    with connect(place, alpn=alpn) as sock:
        answer = b""
        try:
            sock.sendall(said)
            while len(answer) < _MOST and not _complete(answer):
                sock.settimeout(max(0.01, end - time.monotonic()))
                more = sock.recv(65536)
                if not more:
                    break
                answer += more
        except TimeoutError:
            if not answer:
                raise NoAnswer(Why.SILENT) from None
        except OSError:
            if not answer:
                raise NoAnswer(Why.CLOSED) from None
    if not answer:
        raise NoAnswer(Why.CLOSED)
    return answer


def _complete(answer: bytes) -> bool:
    if not answer.startswith(b"HTTP/"):
        return len(answer) >= _FRAME  # enough to know an HTTP/2 frame, or that it is something else
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip() == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
    return b"chunked" in head.lower() and body.endswith(b"0\r\n\r\n")


def ask(place: Place, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer | None:
    """One HTTP/1.1 request. None if what comes back is no HTTP/1. NoAnswer if nothing does."""
    host = place.host or "localhost"
    if ":" in host:
        host = f"[{host}]"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}:{place.port}" if place.port else f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if "\n" not in f"{name}{value}"]
    lines += ["Connection: close", f"Content-Length: {len(body)}"]
    raw = converse(place, "\r\n".join([*lines, "", ""]).encode("utf-8", "replace") + body)
    return parse(raw)


class _Replayed:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


def parse(raw: bytes) -> Answer | None:
    """An HTTP/1 answer; None if it is none."""
    if not raw.startswith(b"HTTP/1"):
        return None
    response = http.client.HTTPResponse(_Replayed(raw))  # type: ignore[arg-type]
    try:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
    except (http.client.HTTPException, ValueError):
        return None
    try:
        body = response.read()
    except (http.client.IncompleteRead, ValueError):
        body = b""
    return Answer(response.status, headers, body)


def speaks_http2(place: Place) -> bool:
    """Whether the other side answers HTTP/2's beginning with HTTP/2: gRPC does."""
    try:
        raw = converse(place, PREFACE, alpn="h2")
    except NoAnswer:
        return False
    return is_http2(raw)


def is_http2(raw: bytes) -> bool:
    """Whether this is how an HTTP/2 server begins: with a SETTINGS frame of stream 0."""
    return len(raw) >= _FRAME and raw[3] == _SETTINGS and raw[5:_FRAME] == b"\0\0\0\0"


def speaks_without_tls(place: Place) -> bool:
    """Whether the other side answers one that does not ask for TLS."""
    plain = replace(place, tls=None)
    try:
        return bool(converse(plain, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    except NoAnswer:
        return speaks_http2(plain)


def speaks_tls(place: Place) -> bool:
    """Whether the other side does a TLS handshake, whoever it is."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        connect(Place(place.host, place.port, context, timeout=place.timeout)).close()
    except NoAnswer:
        return False
    return True
