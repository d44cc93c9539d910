"""The same program under every switch of the interpreter that changes what code does, and with others watching it."""

from __future__ import annotations

import sys

import pytest

from tests.process.conftest import Run

pytest.importorskip("consul")

PROGRAM = """
import os, sys, threading
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
import otel_consul
otel_consul.ConsulInstrumentor().instrument(tracer_provider=provider)
import consul
client = consul.Consul()
values = [client.kv.get("a")[1]["Value"]]
thread = threading.Thread(target=lambda: values.append(client.kv.get("b")[1]))
thread.start()
thread.join()
try:
    consul.Consul(port=1).kv.get("a")
except Exception as exc:
    values.append(type(exc).__name__)
otel_consul.ConsulInstrumentor().uninstrument()
client.kv.get("a")
client.http.session.close()
outcomes = [span.attributes["consul.outcome"] for span in exporter.get_finished_spans()]
print(values, outcomes)
"""
SAYS = "[b'1', None, 'ConnectionError'] ['ok', 'not_found', 'error']\n"
WATCHED = """
import sys
events = set()
sys.{function}(lambda frame, event, value: events.add(event))
{program}
sys.{function}(None)
assert events
"""


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONWARNINGS": "error"},
        {"PYTHONOPTIMIZE": "1"},
        {"PYTHONDEVMODE": "1"},
        {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2", "PYTHONASYNCIODEBUG": "1"},
        {"PYTHONMALLOC": "debug", "PYTHONHASHSEED": "0", "PYTHONUTF8": "0", "LC_ALL": "C"},
    ],
    ids=lambda variables: ",".join(variables) or "none",
)
def test_a_switch(run: Run, variables: dict[str, str]) -> None:
    done = run(PROGRAM, env=variables)
    assert (done.code, done.out, done.err) == (0, SAYS, "")


@pytest.mark.parametrize("function", ["setprofile", "settrace"])
def test_somebody_watches_every_step(run: Run, function: str) -> None:
    done = run(WATCHED.format(function=function, program=PROGRAM))
    assert (done.code, done.out, done.err) == (0, SAYS, "")


SUBINTERPRETER = """
import os, sys
try:
    import _interpreters as interpreters
    make = lambda: interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as interpreters
    make = lambda: interpreters.create(isolated=False)
program = {program!r}
number = make()
failed = interpreters.run_string(number, program + "\\nsys.stdout.flush()")
if failed is not None:
    print(failed.errdisplay if hasattr(failed, "errdisplay") else failed, file=sys.stderr)
interpreters.destroy(number)
exec(program)
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython has them")
def test_a_subinterpreter(run: Run) -> None:
    """Its own plugin, beside that of the main interpreter."""
    done = run(SUBINTERPRETER.format(program=PROGRAM))
    assert (done.code, done.out) == (0, SAYS * 2), done.err


MANY_TIMES = """
import gc, sys, threading
import consul, otel_consul
from opentelemetry.sdk.trace import TracerProvider
client = consul.Consul()
plugin = otel_consul.ConsulInstrumentor()
provider = TracerProvider(shutdown_on_exit=False)

def objects():
    gc.collect()
    return len(gc.get_objects())

def switch(times):
    for number in range(times):
        plugin.instrument(tracer_provider=provider)
        if number % 50 == 0:
            client.kv.get("a")
        plugin.uninstrument()

switch(100)
before, threads = objects(), threading.active_count()
switch(900)
grown = objects() - before
print(client.kv.get("a")[1]["Value"], grown if grown > 450 else "no growth", threading.active_count() - threads)
"""


def test_on_and_off_a_thousand_times(run: Run) -> None:
    done = run(MANY_TIMES)
    assert (done.code, done.out) == (0, "b'1' no growth 0\n"), done.err
