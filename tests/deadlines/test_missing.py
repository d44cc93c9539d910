"""A call that nothing would stop: said once for each operation and place, with the way out."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import consul
import consul.aio
import pytest

from otel_consul import ConsulInstrumentor
from otel_consul.deadlines import missing as advice
from testbed.stub_agent import StubAgent

pytestmark = pytest.mark.usefixtures("instrumented")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "otel_consul")
    return caplog


def unbounded(port: int) -> Any:
    return consul.Consul(port=port, connections_timeout=None)


def test_once_for_each_operation_and_place(stub: StubAgent, said: pytest.LogCaptureFixture) -> None:
    client = unbounded(stub.port)
    for _ in range(3):
        client.kv.get("a")
        client.kv.get("b")
        client.catalog.nodes()
    lines = [record.getMessage() for record in said.records]
    assert [line.split()[0] for line in lines] == ["kv.get", "kv.get", "catalog.nodes"]
    assert all(f"{__file__}:" in line and "test_once_for_each_operation_and_place" in line for line in lines)
    assert all("connections_timeout" in line for line in lines)
    assert {record.levelno for record in said.records} == {logging.INFO}
    assert {record.name for record in said.records} == {"otel_consul"}


def test_once_for_a_line_with_several_calls(stub: StubAgent, said: pytest.LogCaptureFixture) -> None:
    client = unbounded(stub.port)
    for _ in range(2):
        client.kv.get("a"), client.kv.get("b"), client.kv.put("a", "1")
    assert [record.getMessage().split()[0] for record in said.records] == ["kv.get", "kv.put"]


def test_a_call_that_is_abandoned_while_it_starts(stub: StubAgent, said: pytest.LogCaptureFixture) -> None:
    recorder = ConsulInstrumentor()._recorder
    assert recorder is not None

    def the_process_ends() -> None:
        for call in recorder.shared.registry.snapshot():
            call.abandon()

    recorder.shared.background.rousing = the_process_ends
    unbounded(stub.port).kv.get("a")
    assert [record.getMessage().split()[0] for record in said.records] == ["kv.get"]


def test_nothing_is_said_of_a_call_with_a_deadline(stub: StubAgent, said: pytest.LogCaptureFixture) -> None:
    consul.Consul(port=stub.port).kv.get("a")
    assert said.records == []


def test_asyncio_names_the_line_that_made_the_call(stub: StubAgent, said: pytest.LogCaptureFixture) -> None:
    import aiohttp

    async def main() -> None:
        client = consul.aio.Consul(port=stub.port)
        client.http._session._timeout = aiohttp.ClientTimeout(total=None)
        await asyncio.gather(*(client.kv.get("a") for _ in range(3)))
        if sys.version_info >= (3, 11):
            async with asyncio.timeout(5):  # this one is bound by its caller
                await client.kv.get("a")
        await client.http.close()

    asyncio.run(main())
    (record,) = said.records
    assert "asyncio.wait_for" in record.getMessage()


def test_a_bounded_number_of_places(
    stub: StubAgent, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, "_MOST", 5)
    client = unbounded(stub.port)
    for number in range(20):
        code = compile("client.kv.get('a')", f"app{number}.py", "exec")
        exec(code, {"client": client, "__name__": "app"})
    assert len(said.records) == 5
