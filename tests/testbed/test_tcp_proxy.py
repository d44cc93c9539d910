"""The proxy does to connections what it says, many at a time."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from testbed.stub_agent import StubAgent, refused_port
from testbed.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def agent() -> Iterator[StubAgent]:
    with StubAgent() as agent:
        agent.put("a", "1")
        yield agent


@pytest.fixture
def proxy(agent: StubAgent) -> Iterator[TcpProxy]:
    with TcpProxy(agent.port) as proxy:
        yield proxy


def get(port: int, path: str = "/v1/kv/a", timeout: float = 5.0) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_it_forwards(agent: StubAgent, proxy: TcpProxy) -> None:
    agent.fill("big/", 5)
    assert get(proxy.port, "/v1/kv/big/?recurse") == get(agent.port, "/v1/kv/big/?recurse")
    assert proxy.accepted == 1


def test_frozen_it_says_nothing_and_loses_nothing(agent: StubAgent, proxy: TcpProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.3) as old:
        old.sendall(b"GET /v1/kv/a HTTP/1.1\r\n\r\n")
        assert old.recv(65536)
        seen = len(agent.requests)
        proxy.freeze()
        time.sleep(0.05)
        old.sendall(b"GET /v1/kv/a HTTP/1.1\r\n\r\n")
        with pytest.raises(TimeoutError):
            old.recv(1)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.3) as new:
            new.sendall(b"GET /v1/kv/a HTTP/1.1\r\n\r\n")
            with pytest.raises(TimeoutError):
                new.recv(1)
            assert len(agent.requests) == seen
            proxy.thaw()
            assert old.recv(65536).startswith(b"HTTP/1.1 200")
            assert new.recv(65536).startswith(b"HTTP/1.1 200")


def test_hundreds_of_connections_freeze_and_thaw(agent: StubAgent, proxy: TcpProxy) -> None:
    proxy.freeze()
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(get(proxy.port, timeout=30))) for _ in range(300)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 10
    while proxy.open < 300 and time.monotonic() < end:
        time.sleep(0.02)
    assert (proxy.open, answers) == (300, [])
    proxy.thaw()
    for thread in threads:
        thread.join(20)
    assert len(answers) == 300


def test_delay_is_latency_not_a_brake(agent: StubAgent, proxy: TcpProxy) -> None:
    agent.fill("big/", 5)
    proxy.delay(0.3)
    start = time.monotonic()
    get(proxy.port, "/v1/kv/big/?recurse")
    assert 0.3 < time.monotonic() - start < 1.5


def test_reset_close_refuse_accept(proxy: TcpProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=2) as sock:
        time.sleep(0.05)
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=2) as sock:
        time.sleep(0.05)
        proxy.freeze()
        proxy.close_all()
        assert sock.recv(1) == b""
        proxy.thaw()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=2) as sock:
        sock.sendall(b"GET /v1/kv/a HTTP/1.1\r\n\r\n")
        assert sock.recv(65536)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            get(proxy.port)
        sock.sendall(b"GET /v1/kv/a HTTP/1.1\r\n\r\n")
        assert sock.recv(65536)
    proxy.accept()
    assert get(proxy.port)


def test_a_dead_target_resets() -> None:
    with TcpProxy(refused_port()) as proxy, pytest.raises(ConnectionResetError):
        get(proxy.port)


def test_stop_while_frozen(agent: StubAgent) -> None:
    with TcpProxy(agent.port) as proxy:
        proxy.freeze()
        with socket.create_connection(("127.0.0.1", proxy.port)) as sock:
            sock.sendall(b"GET /v1/kv/a HTTP/1.1\r\n\r\n")
            time.sleep(0.05)
            start = time.monotonic()
            proxy.close_all()
    assert time.monotonic() - start < 1.0
