"""Web servers that fork, with what they are run with: every worker tells of its calls, and the server ends when told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from testbed.stub_agent import StubAgent, refused_port

APP = """
import os
import consul, otel_consul
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
otel_consul.ConsulInstrumentor().instrument(tracer_provider=provider)
client = consul.Consul()

def told():
    exporter.clear()
    client.kv.get("a")
    return f"{os.getpid()} {len(exporter.get_finished_spans())}".encode()

def app(environ, start_response):
    body = told()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": told()})
"""
WAYS = {
    "sync": ["gunicorn", "-w", "2"],
    "gthread": ["gunicorn", "-w", "2", "-k", "gthread", "--threads", "4"],
    "gevent": ["gunicorn", "-w", "2", "-k", "gevent"],
    "preload": ["gunicorn", "-w", "2", "--preload"],
    "max-requests": ["gunicorn", "-w", "2", "--max-requests", "3"],
    "uvicorn": ["uvicorn", "--workers", "2"],
}
REQUESTS = 20


@pytest.mark.parametrize("way", WAYS)
def test_a_server(way: str, stub: StubAgent, tmp_path: Path) -> None:
    server, *options = WAYS[way]
    for module in (server, *(["gevent"] if way == "gevent" else [])):
        pytest.importorskip(module)
    (tmp_path / "web.py").write_text(APP)
    port = refused_port()
    where = ["--port", str(port), "web:asgi"] if server == "uvicorn" else ["-b", f"127.0.0.1:{port}", "web:app"]
    environ = {**os.environ, "CONSUL_HTTP_ADDR": f"127.0.0.1:{stub.port}"}
    with subprocess.Popen(
        [sys.executable, "-m", server, *options, *where], cwd=tmp_path, env=environ,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        told = []
        while len(told) < REQUESTS:
            assert running.poll() is None, running.communicate()[1]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    told.append(answer.read().decode().split())
            except OSError:  # not yet, or a worker's last request
                time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=30)
    assert {spans for _, spans in told} == {"1"}
    assert running.returncode in (0, -signal.SIGTERM)
    assert "otel_consul failed" not in errors
