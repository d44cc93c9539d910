"""Kernels that know less than Linux: gVisor's zeros, an old one's short answer, a sandbox that refuses."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from otel_consul.local_delay import sockets
from testbed.stub_agent import StubAgent
from tests.support.lost import blamed, causes
from tests.support.telemetry import Telemetry

aio = pytest.importorskip("consul.aio")
if not hasattr(aio.Consul, "close"):
    pytest.skip("this client connects anew for each call", allow_module_level=True)

BLOCKED = 0.4
FILLED_IN = 16
"""gVisor fills in the state, the congestion state and the time-out; newer versions rtt and window as well."""
ESTABLISHED = b"\x01"

genuine = socket.socket.getsockopt


def zeros(info: bytes) -> bytes:
    return info[:FILLED_IN] + bytes(len(info) - FILLED_IN)


def nothing_at_all(info: bytes) -> bytes:
    return ESTABLISHED + bytes(len(info) - 1)


def short(info: bytes) -> bytes:
    return info[:44]


def refused(info: bytes) -> bytes:
    raise OSError(errno.ENOPROTOOPT, "refused")


@pytest.fixture(params=[zeros, nothing_at_all, short, refused], ids=lambda kernel: kernel.__name__)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not sockets.AVAILABLE:
        pytest.skip("no TCP_INFO here to be replaced")
    answer: Callable[[bytes], bytes] = request.param

    def getsockopt(self: socket.socket, level: int, option: int, *length: int) -> Any:
        given = genuine(self, level, option, *length)
        if level == socket.IPPROTO_TCP and option == socket.TCP_INFO and isinstance(given, bytes):
            return answer(given)
        return given

    monkeypatch.setattr(socket.socket, "getsockopt", getsockopt)


async def get_while_blocked(port: int, *, after: float) -> None:
    """One call whose loop is blocked from `after` seconds on."""
    client = aio.Consul(port=port)
    await client.kv.get("warm")
    call = asyncio.ensure_future(client.kv.get("key"))
    await asyncio.sleep(after)
    time.sleep(BLOCKED)  # noqa: ASYNC251 -- that is the point
    await call
    await client.close()


@pytest.mark.usefixtures("kernel")
def test_a_busy_loop_is_not_blamed_on_consul(instrumented: Telemetry, stub: StubAgent) -> None:
    stub.fault("/v1/kv/key", delay=0.15)
    asyncio.run(get_while_blocked(stub.port, after=0.1))
    assert causes(instrumented)["event_loop"] == pytest.approx(BLOCKED, abs=0.12)
    assert not [name for name in instrumented.spans[-1].attributes or {} if name.startswith("consul.network.")]


@pytest.mark.usefixtures("kernel")
def test_a_slow_consul_is_not_blamed_on_the_loop(instrumented: Telemetry, stub: StubAgent) -> None:
    stub.fault("/v1/kv/key", delay=2.5 * BLOCKED)
    asyncio.run(get_while_blocked(stub.port, after=0.1))
    assert not blamed(instrumented)


def test_an_answer_that_came_just_now_is_evidence(stub: StubAgent) -> None:
    """Zero is not evidence only where it cannot be true."""
    if not sockets.AVAILABLE:
        pytest.skip("no TCP_INFO here")
    with socket.create_connection(("127.0.0.1", stub.port)) as sock:
        sock.sendall(b"GET /v1/kv/warm HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)
        sock.sendall(b"GET /v1/kv/warm HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sockets.since_sent(sock) == pytest.approx(0.0, abs=0.02)
        time.sleep(0.1)
        assert sockets.since_received(sock, 0.1) == pytest.approx(0.1, abs=0.05)
