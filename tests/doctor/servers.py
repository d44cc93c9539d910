"""Servers on loopback that are not what an exporter or a client hopes for."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from testbed.stub_agent.tls import server_context

HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>it works!"
SSH = b"SSH-2.0-OpenSSH_9.2\r\n"
GO_WANTS_TLS = (
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"  # Go's net/http, word for word
)


def http_answer(status: int, kind: str = "text/plain", body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def answering(said: bytes | None, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port where every connection is read from once and told `said`; None: it is taken and kept silent."""
    kept: list[socket.socket] = []
    ended = threading.Event()

    def serve(sock: socket.socket) -> None:
        with suppress(OSError):
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True)
            if said is None:
                kept.append(sock)
                return
            if said:
                sock.recv(65536)
                sock.sendall(said)
            sock.close()

    def accept() -> None:
        while not ended.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for sock in kept:
                sock.close()
            thread.join(5)


@contextmanager
def tls(folder: Path, said: bytes) -> Iterator[tuple[int, Path]]:
    """As `answering`, behind TLS: the port, and the file of the certificate to trust."""
    context, certificate = server_context(folder)
    with answering(said, context) as port:
        yield port, certificate


@contextmanager
def grpc_server(*services: str, refuse: str = "") -> Iterator[int]:
    """A gRPC server that takes exports for these services (`TraceService`, `MetricsService`), or refuses them with that status."""
    import grpc

    def export(request: bytes, context: Any) -> bytes:
        if refuse:
            context.abort(grpc.StatusCode[refuse], "no")
        return b""

    server = grpc.server(ThreadPoolExecutor(4))
    packages = {"TraceService": "trace", "MetricsService": "metrics"}
    for service in services:
        name = f"opentelemetry.proto.collector.{packages[service]}.v1.{service}"
        handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)
