"""Calls that keep their thread waiting: what may be called `gil`, and what may not."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.attribution import disturbances
from testbed.stub_agent import StubAgent
from tests.clients.drivers import PlainObject, plain_object_client
from tests.support.lost import blamed, causes
from tests.support.telemetry import Telemetry

if (why_not := PlainObject.why_not()) is not None:
    pytest.skip(why_not, allow_module_level=True)
consul = pytest.importorskip("consul")

HELD = 0.3
SLOW = 0.8


@contextmanager
def the_gil_held(at: float = 0.1) -> Iterator[list[float]]:
    """By another thread, for `HELD` seconds at least. How long it took is in the list, in the end."""
    took: list[float] = []

    def hold() -> None:
        start = time.perf_counter()
        disturbances.hold_gil(HELD)
        took.append(time.perf_counter() - start)

    disturbances._per_second()
    thread = threading.Timer(at, hold)
    thread.start()
    yield took
    thread.join()


class OwnTransport:
    """One over `http.client`, which gives no signals."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, callback: Any, path: str, *_: Any, **__: Any) -> Any:
        from consul.base import Response

        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        fields = (answer.status, answer.headers, body, body)
        return callback(Response(*fields[: len(Response._fields)]))


def test_without_signals_nobody_knows_what_the_gil_cost(instrumented: Telemetry, stub: StubAgent) -> None:
    """Another thread holds it, and lets go of it long before Consul answers: nothing is lost."""
    client = plain_object_client(lambda *_, **__: OwnTransport(stub.port))
    stub.fault(delay=SLOW)
    with the_gil_held():
        client.kv.get("a")
    assert not blamed(instrumented)


def test_with_phases_off_neither(telemetry: Telemetry, stub: StubAgent) -> None:
    telemetry.instrument(phases=False)
    stub.fault(delay=SLOW)
    with the_gil_held():
        consul.Consul(port=stub.port).kv.get("a")
    assert not blamed(telemetry)


def test_a_wait_of_the_programs_own_is_charged_with_no_more_than_others_suffered(
    instrumented: Telemetry, stub: StubAgent
) -> None:
    """An adapter that keeps to a rate limit, and a thread that holds the GIL meanwhile."""
    from requests.adapters import HTTPAdapter

    class Limited(HTTPAdapter):  # type: ignore[misc]
        def send(self, *args: Any, **kwargs: Any) -> Any:
            time.sleep(SLOW)
            return super().send(*args, **kwargs)

    client = consul.Consul(port=stub.port)
    client.http.session.mount("http://", Limited())
    with the_gil_held() as took:
        client.kv.get("a")
    assert causes(instrumented).get("gil", 0.0) < took[0] + 0.15


def test_a_pause_in_the_calling_thread_is_a_pause_only(
    instrumented: Telemetry, stub: StubAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector starts in the thread that is just about to read the answer, which lies there meanwhile."""
    junk = [[number] for number in range(2_000_000)]
    client = consul.Consul(port=stub.port)
    client.kv.get("a")
    real = http.client.HTTPResponse.begin

    def begin(self: Any) -> None:
        gc.collect()
        real(self)

    monkeypatch.setattr(http.client.HTTPResponse, "begin", begin)
    client.kv.get("a")
    lost = causes(instrumented)
    assert len(junk) == 2_000_000
    assert lost["gc"] > 0.02
    assert lost.get("gil", 0.0) < 0.2 * lost["gc"]


def test_a_collection_that_lets_go_of_the_gil_counts_once(
    instrumented: Telemetry, stub: StubAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            time.sleep(0.3)

    client = consul.Consul(port=stub.port)
    stub.put("a", "1")
    for _ in range(3):
        client.kv.get("a")
    loads = json.loads

    def collecting(*args: Any, **kwargs: Any) -> Any:
        Slow()
        gc.collect()
        return loads(*args, **kwargs)

    monkeypatch.setattr(json, "loads", collecting)
    client.kv.get("a")

    lost = causes(instrumented)
    assert lost["gc"] > 0.25
    assert lost.get("gil", 0.0) < 0.1


class OneAnswer:
    """A server that answers once, with `parts` and pauses (seconds) between them, then hangs up."""

    def __init__(self, *parts: bytes | float) -> None:
        self._parts = parts
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            connection.recv(65536)
            for part in self._parts:
                time.sleep(part) if isinstance(part, float) else connection.sendall(part)

    def close(self) -> None:
        self._thread.join()
        self._server.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


def test_a_body_broken_off_after_a_silence_was_the_servers(instrumented: Telemetry) -> None:
    """A hang-up is no data: when it came, the kernel does not say."""
    server = OneAnswer(HEAD + b'[{"Key"', SLOW)
    with contextlib.suppress(Exception):  # urllib3 1.26 takes a short body for a whole one
        consul.Consul(port=server.port).kv.get("a")
    server.close()
    assert not blamed(instrumented)
