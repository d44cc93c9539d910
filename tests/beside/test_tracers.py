"""Other makers' tracers in the same process, set up before the plugin and after it."""

from __future__ import annotations

import pytest

from tests.process.conftest import Run

TRACERS = {
    "ddtrace": "import ddtrace; ddtrace.patch_all()",
    "sentry_sdk": """
import sentry_sdk
sentry_sdk.init(dsn="http://key@127.0.0.1:1/1", traces_sample_rate=1.0, transport=lambda envelope: None)
""",
}
OURS = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
import otel_consul
otel_consul.ConsulInstrumentor().instrument(tracer_provider=provider)
"""
CALLS = """
import asyncio, os
import consul, consul.aio
value = consul.Consul().kv.get("a")[1]["Value"]

async def call():
    client = consul.aio.Consul()
    _, found = await client.kv.get("a")
    await client.http._session.close()
    return found["Value"]

print(value, asyncio.run(call()))
otel_consul.ConsulInstrumentor().uninstrument()
consul.Consul().kv.get("a")
print([(span.name, span.attributes["consul.outcome"], "consul.phase.wait" in span.attributes)
       for span in exporter.get_finished_spans()], flush=True)
os._exit(0)  # not their exporters' time-outs
"""
QUIET = {"DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false", "DD_REMOTE_CONFIGURATION_ENABLED": "false"}


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("tracer", TRACERS)
def test_a_tracer(run: Run, tracer: str, first: bool) -> None:
    pytest.importorskip(tracer)
    pytest.importorskip("consul.aio")
    parts = [TRACERS[tracer], OURS] if first else [OURS, TRACERS[tracer]]
    done = run("\n".join([*parts, CALLS]), env=QUIET)
    assert (done.code, done.out) == (0, f"b'1' b'1'\n{[('kv.get', 'ok', True)] * 2}\n"), done.err
