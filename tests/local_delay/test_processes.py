"""What takes a process of its own: gevent's patches, a fork, sleeping."""

from __future__ import annotations

import subprocess
import sys

import pytest

from testbed.stub_agent import StubAgent

pytest.importorskip("consul.aio")


def run_apart(program: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=40, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    return result.stdout


_SET_UP = """
import sys, time
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otel_consul import ConsulInstrumentor, guard
guard.strict = True
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
ConsulInstrumentor().instrument(tracer_provider=provider)
import consul
port = int(sys.argv[1])
def lost(cause):
    return exporter.get_finished_spans()[-1].attributes.get("consul.local_delay." + cause, 0.0)
"""


def test_gevent(stub: StubAgent) -> None:
    """Another greenlet that never yields is the event loop's fault, not the GIL's."""
    pytest.importorskip("gevent")
    stub.fault(delay=0.2)
    program = (
        "from gevent import monkey; monkey.patch_all()\nimport gevent\n"
        + _SET_UP
        + """
def selfish():
    end = time.perf_counter() + 0.5
    while time.perf_counter() < end: pass
call = gevent.spawn(consul.Consul(port=port).kv.get, "a")
gevent.spawn_later(0.1, selfish)
call.join()
print(lost("event_loop"), lost("gil"))
"""
    )
    event_loop, gil = map(float, run_apart(program, str(stub.port)).split())
    assert event_loop == pytest.approx(0.4, abs=0.15)
    assert gil == 0


def test_fork(stub: StubAgent) -> None:
    """A child measures anew, with a loop of its own."""
    stub.fault(delay=0.1)
    program = (
        _SET_UP
        + """
import asyncio, os, consul.aio
async def main():
    client = consul.aio.Consul(port=port)
    call = asyncio.ensure_future(client.kv.get("a"))
    await asyncio.sleep(0.05)
    time.sleep(0.5)
    await call
    await client.close()
asyncio.run(main())
parents = lost("event_loop")
child = os.fork()
exporter.clear()
asyncio.run(main())
if child:
    assert os.waitpid(child, 0)[1] == 0
print(parents, lost("event_loop"), flush=True)
"""
    )
    for line in run_apart(program, str(stub.port)).splitlines():
        for seconds in map(float, line.split()):
            assert seconds == pytest.approx(0.45, abs=0.2)


@pytest.mark.slow
def test_an_idle_process_sleeps(stub: StubAgent) -> None:
    """No wake-ups while no call is open: the process's voluntary switches stand still."""
    program = (
        _SET_UP
        + """
import os, asyncio, consul.aio
async def main():
    client = consul.aio.Consul(port=port)
    await client.kv.get("a")
    await client.close()
    await asyncio.sleep(2.6)
    def switches():
        return sum(int(line.split()[1]) for task in os.listdir("/proc/self/task")
                   for line in open(f"/proc/self/task/{task}/status") if line.startswith("voluntary"))
    consul.Consul(port=port).kv.get("a")
    await asyncio.sleep(2.6)
    before = switches()
    await asyncio.sleep(1)
    print(switches() - before)
asyncio.run(main())
"""
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    assert int(run_apart(program, str(stub.port))) <= 10
