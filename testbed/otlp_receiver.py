"""A real OTLP/HTTP endpoint on loopback: `python -m testbed.otlp_receiver --port 4318 --out telemetry.jsonl`."""

from __future__ import annotations

import argparse
import gzip
import json
import signal
import sys
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from google.protobuf.message import DecodeError

from testbed.otlp_decode import log_records, metric_points, spans

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from testbed.telemetry import LogRecord, MetricPoint, Span

T = TypeVar("T")


@dataclass(frozen=True)
class Raw:
    """One request body, as decompressed as it gets."""

    path: str
    body: bytes
    at: float
    """time.time() of its arrival."""


class OtlpReceiver:
    """`with OtlpReceiver() as receiver:` takes what exporters send to `receiver.endpoint`, until the block ends.

    Everything it hands out is a snapshot: safe to use while more arrives. `metrics` holds every point of every
    export, oldest first; `latest()` only the newest of each series.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1", out: TextIO | None = None) -> None:
        self._changed = threading.Condition()
        self._spans: list[Span] = []
        self._metrics: list[MetricPoint] = []
        self._logs: list[LogRecord] = []
        self._raw: list[Raw] = []
        self._status = 200
        self._delay = 0.0
        self._stopping = threading.Event()
        self._healed = threading.Event()
        self._healed.set()
        self._out = out
        self._server = _Server((host, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="otlp-receiver")
        self._thread.daemon = True

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def endpoint(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT (exporters add /v1/traces and so on)."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Span]:
        with self._changed:
            return list(self._spans)

    @property
    def metrics(self) -> list[MetricPoint]:
        with self._changed:
            return list(self._metrics)

    @property
    def logs(self) -> list[LogRecord]:
        with self._changed:
            return list(self._logs)

    @property
    def raw(self) -> list[Raw]:
        """Every body that arrived, refused ones included: what a search for secrets must look at."""
        with self._changed:
            return list(self._raw)

    def contains(self, secret: bytes | str) -> bool:
        """Whether any body that arrived holds these bytes."""
        needle = secret.encode() if isinstance(secret, str) else secret
        return any(needle in raw.body for raw in self.raw)

    def latest(self, name: str) -> list[MetricPoint]:
        """The newest point of each series of a metric (a series: resource, scope and attributes)."""
        series: dict[str, MetricPoint] = {}
        for point in self.metrics:
            if point.name == name:
                series[repr((point.resource, point.scope, sorted(point.attributes.items())))] = point
        return list(series.values())

    def clear(self) -> None:
        """Forget all."""
        with self._changed:
            for kept in (self._spans, self._metrics, self._logs, self._raw):
                kept.clear()

    def wait_for(self, predicate: Callable[[OtlpReceiver], T | None], timeout: float = 10.0) -> T:
        """The predicate's value, once it is true; asked at each arrival. TimeoutError after `timeout` seconds."""
        with self._changed:
            value = self._changed.wait_for(lambda: predicate(self), timeout)
            if not value:
                held = f"{len(self._spans)} spans, {len(self._metrics)} points, {len(self._logs)} log records"
                raise TimeoutError(f"not within {timeout} s; received: {held}")
            return value

    # Faults

    def answer(self, status: int = 200, *, delay: float = 0.0) -> None:
        """From now on answer so, `delay` seconds late. What is not answered with 200 is kept in `raw` only."""
        self._status, self._delay = status, delay

    def hang(self) -> None:
        """Accept and read, but answer no more, until heal() or stop()."""
        self._healed.clear()

    def heal(self) -> None:
        """Behave again; requests that hang are answered now."""
        self.answer()
        self._healed.set()

    # Life

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._healed.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def take(self, path: str, body: bytes) -> int:
        """Take one export in; the status to answer."""
        with self._changed:
            self._raw.append(Raw(path, body, time.time()))
            self._changed.notify_all()
        self._healed.wait()
        self._stopping.wait(self._delay)
        status = self._status
        if status != 200:
            return status
        decode, kept = self._kind(path)
        if decode is None:
            return 404
        try:
            decoded = list(decode(body))
        except DecodeError:
            return 400
        with self._changed:
            kept.extend(decoded)
            self._write(path, decoded)
            self._changed.notify_all()
        return 200

    def _kind(self, path: str) -> tuple[Callable[[bytes], Any] | None, list[Any]]:
        kinds: dict[str, tuple[Callable[[bytes], Any], list[Any]]] = {
            "/v1/traces": (spans, self._spans),
            "/v1/metrics": (metric_points, self._metrics),
            "/v1/logs": (log_records, self._logs),
        }
        return kinds.get(path, (None, []))

    def _write(self, path: str, decoded: list[Any]) -> None:
        if self._out is not None:
            kind = path.removeprefix("/v1/").removesuffix("s")
            self._out.writelines(json.dumps({"type": kind, **asdict(one)}, default=repr) + "\n" for one in decoded)
            self._out.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a handler that hangs must not hold up stop()
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], receiver: OtlpReceiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:  # the name is http.server's
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            body = _decompressed(body, self.headers.get("Content-Encoding", ""))
            status = self.server.receiver.take(self.path, body)
        except (OSError, EOFError, zlib.error):  # not compressed as it says
            status = 400
        with suppress(OSError):  # the exporter may have given up meanwhile
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")  # an empty message: everything was taken
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


def _decompressed(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case _:
            return body


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m testbed.otlp_receiver", description=__doc__)
    parser.add_argument("--port", type=int, default=4318, help="0 takes a free one (default: 4318)")
    parser.add_argument("--out", type=argparse.FileType("a"), default="-", help="JSON lines; - is standard output")
    arguments = parser.parse_args()
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the threads start, so that only sigwait sees them
    with OtlpReceiver(arguments.port, out=arguments.out) as receiver:
        print(receiver.endpoint, file=sys.stderr, flush=True)  # standard output may be the telemetry
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
