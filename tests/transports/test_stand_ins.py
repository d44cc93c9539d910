"""Sockets that are none: mocking libraries put objects in their place whose methods raise anything."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from testbed.stub_agent import StubAgent
from tests.support.telemetry import Telemetry


class OddError(LookupError):
    """Nothing a socket would raise."""


def odd(*_: Any) -> Any:
    raise OddError


@pytest.mark.parametrize("method", ["getpeername", "getsockopt"])
def test_a_socket_that_cannot_be_asked_costs_one_fact(
    method: str, instrumented: Telemetry, stub: StubAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    consul = pytest.importorskip("consul")
    stub.put("a", "1")
    stub.fault("/v1/kv/a", delay=0.05)
    client = consul.Consul(port=stub.port)
    monkeypatch.setattr(socket.socket, method, odd)
    assert client.kv.get("a")[1]["Value"] == b"1"
    attributes = instrumented.span.attributes or {}
    assert attributes["consul.outcome"] == "ok"
    assert attributes["consul.phase.wait"] > 0.04
    assert ("network.peer.address" in attributes) == (method != "getpeername")


def test_a_transport_that_cannot_be_asked_costs_one_fact(
    instrumented: Telemetry, stub: StubAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    aio = pytest.importorskip("consul.aio")
    if not hasattr(aio.Consul, "close"):
        pytest.skip("this client connects anew for each call")
    stub.put("a", "1")

    def get_extra_info(self: Any, name: str, default: Any = None) -> Any:
        return odd() if name in ("peername", "socket") else default

    async def get() -> Any:
        client = aio.Consul(port=stub.port)
        await client.kv.get("warm")
        monkeypatch.setattr(asyncio.selector_events._SelectorTransport, "get_extra_info", get_extra_info)
        try:
            return await client.kv.get("a")
        finally:
            monkeypatch.undo()
            await client.close()

    assert asyncio.run(get())[1]["Value"] == b"1"
    attributes = instrumented.spans[-1].attributes or {}
    assert attributes["consul.outcome"] == "ok"
    assert "network.peer.address" not in attributes
