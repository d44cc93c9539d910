"""A real uWSGI: it forks its workers in C, and tells Python of it only with `--py-call-osafterfork`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.stub_agent import StubAgent
from testbed.stub_agent.ports import refused_port
from tests.support.stalls import eventually

pytest.importorskip("consul")

APP = """
import json, os, threading, time
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

class File(SpanExporter):
    def export(self, spans):
        with open("spans", "a") as file:
            for span in spans:
                facts = ("consul.outcome", "consul.client.forked", "consul.kv.key")
                file.write(json.dumps([os.getpid(), span.name, *map(span.attributes.get, facts)]) + chr(10))
        return SpanExportResult.SUCCESS

tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(File()))
import consul, otel_consul
otel_consul.ConsulInstrumentor().instrument(tracer_provider=tracers, stall_threshold=0.3)
client = consul.Consul(connections_timeout=None)
client.kv.get("a")
threading.Thread(target=client.kv.get, args=["hang-at-start"], daemon=True).start()
time.sleep(0.5)
STARTED_IN = os.getpid()

def application(environ, start):
    start("200 OK", [])
    if environ["PATH_INFO"] == "/get":
        client.kv.get("forked")
    if environ["PATH_INFO"] == "/hang":
        threading.Thread(target=consul.Consul(connections_timeout=None).kv.get, args=["hang"], daemon=True).start()
        time.sleep(0.2)
    return [json.dumps([os.getpid(), STARTED_IN, len(otel_consul.open_calls())]).encode()]
"""
MODES = {"untold": [], "hooks": ["--py-call-osafterfork"], "lazy": ["--lazy-apps"]}


@pytest.fixture
def uwsgi() -> str:
    found = shutil.which("uwsgi", path=str(Path(sys.executable).parent)) or shutil.which("uwsgi")
    if found is None:
        if os.environ.get("OTEL_CONSUL_REQUIRE_UWSGI"):
            pytest.fail("uwsgi is required here, and is not installed")
        pytest.skip("no uwsgi here: `.venv/bin/pip install uwsgi` builds it, with a C compiler")
    return found


@pytest.fixture(params=MODES)
def server(
    request: pytest.FixtureRequest, uwsgi: str, stub: StubAgent, tmp_path: Path
) -> Iterator[tuple[str, Any, subprocess.Popen[bytes]]]:
    """The mode, the server, and a function that asks a path of it: (process, where the app started, open calls)."""
    stub.put("a", "1")
    stub.put("forked", "1")
    stub.fault("/v1/kv/hang*", stop="hang")
    (tmp_path / "app.py").write_text(APP)
    port = refused_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CONSUL_", "COV"))}
    command = [
        uwsgi,
        "--http-socket",
        f"127.0.0.1:{port}",
        "--master",
        "--processes",
        "2",
        "--enable-threads",
        "--die-on-term",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--wsgi-file", "app.py", "--home", sys.prefix, *MODES[request.param]],
            cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT,
            env={**kept, "CONSUL_HTTP_ADDR": f"127.0.0.1:{stub.port}", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return json.load(answer)

    def answers() -> Any:
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return ask("/")
        except OSError:
            return None

    try:
        eventually(answers, 30.0)
        yield request.param, ask, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_worker_tells_of_its_own_calls_only(server: tuple[str, Any, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    mode, ask, process = server
    worker, started_in, before = ask("/hang")
    assert (worker == started_in) == (mode == "lazy")
    assert before == (2 if mode == "lazy" else 1)
    getter, _, _ = ask("/get")

    def spans() -> list[list[Any]]:
        return [json.loads(line) for line in (tmp_path / "spans").read_text().splitlines()]

    eventually(lambda: [one for one in spans() if one[:2] == [worker, "kv.get stalled"]], 20.0)
    marks = [forked for pid, name, _, forked, key in spans() if (pid, key) == (getter, "forked")]
    assert marks == [None if mode == "lazy" else True]
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    abandoned = [(pid, key) for pid, _, outcome, _, key in spans() if outcome == "abandoned"]
    assert (worker, "hang") in abandoned
    # Each process that ran the application has made that call itself: with lazy applications, every worker.
    started = {pid for pid, name, _, _, key in spans() if (name, key) == ("kv.get", "a")}
    assert started_in in started
    assert {pid for pid, key in abandoned if key == "hang-at-start"} <= started
