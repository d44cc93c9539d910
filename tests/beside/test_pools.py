"""Pools of processes, by every way to start one but `fork`, which `tests/process` tests: each child's calls are told of by the child, and all of them end."""

from __future__ import annotations

import multiprocessing

import pytest

from tests.process.conftest import Run

pytest.importorskip("consul")

PROGRAM = """
import concurrent.futures, multiprocessing, os, sys, threading
sys.path.insert(0, os.getcwd())
import work

if __name__ == "__main__":
    work.begin()
    before = [work.call(number) for number in range(3)]
    threading.Thread(target=work.client.kv.get, args=("hang",), daemon=True).start()
    context = multiprocessing.get_context("{method}")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context, initializer=work.begin) as pool:
        seen = list(pool.map(work.call, range(6)))
    with context.Pool(2, initializer=work.begin, maxtasksperchild=1) as pool:
        seen += pool.map(work.call, range(4), chunksize=1)
    children = {{pid for pid, _ in seen}} - {{os.getpid()}}
    print(len(seen), len(children) >= 5, sorted({{spans for _, spans in seen}})[0])
"""
WORK = """
import os
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import consul, otel_consul

exporter = client = None

def begin():
    global exporter, client
    if exporter is None:
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        otel_consul.ConsulInstrumentor().instrument(tracer_provider=provider)
    client = consul.Consul()

def call(number):
    exporter.clear()
    assert client.kv.get("a")[1]["Value"] == b"1"
    return os.getpid(), len(exporter.get_finished_spans())
"""
START = """
import pathlib, subprocess, sys
pathlib.Path("work.py").write_text({work!r})
pathlib.Path("main.py").write_text({program!r})
raise SystemExit(subprocess.run([sys.executable, "main.py"]).returncode)
"""


@pytest.mark.parametrize("method", [one for one in multiprocessing.get_all_start_methods() if one != "fork"])
def test_a_pool(run: Run, stub: object, method: str) -> None:
    stub.fault("/v1/kv/hang", stop="hang")  # type: ignore[attr-defined]
    done = run(START.format(work=WORK, program=PROGRAM.format(method=method)))
    assert (done.code, done.out) == (0, "10 True 1\n"), done.err
