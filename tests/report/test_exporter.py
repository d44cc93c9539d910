"""The exporter as users meet it: below an SDK, at exit, by signal, and by name."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_consul.report import ReportExporter
from testbed.stub_agent import StubAgent
from tests.report.spans import attributes

ROOT = Path(__file__).parents[2]
INSTRUMENT = Path(sys.executable).parent / "opentelemetry-instrument"


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def provider_of(exporter: ReportExporter) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def test_it_counts_spans_and_prints_once_at_shutdown(out: io.StringIO) -> None:
    exporter = ReportExporter(out)
    provider = provider_of(exporter)
    tracer = provider.get_tracer("otel_consul")
    for number in range(3):
        start = 1_000_000_000
        span = tracer.start_span("kv.get", attributes=attributes("kv.get", 2.0, pool=1.0), start_time=start)
        span.end(start + 2_000_000_000 + number)
    tracer.start_span("GET").end()
    provider.shutdown()
    exporter.shutdown()
    assert out.getvalue().count("Consul calls of shop, process") == 1
    assert "→ kv.get: 2.00 s of 2.00 s at P99 was waiting for a free connection." in out.getvalue()
    assert "Look first at kv.get." in out.getvalue()


def test_a_program_that_never_called_consul_hears_nothing(out: io.StringIO) -> None:
    provider_of(ReportExporter(out)).shutdown()
    assert out.getvalue() == ""


def test_it_takes_the_signal_and_gives_it_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    exporter = ReportExporter()
    assert signal.getsignal(signal.SIGUSR1) is not before
    exporter.shutdown()
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_signal_somebody_handles_stays_theirs() -> None:
    def theirs(*_: object) -> None: ...

    before = signal.signal(signal.SIGUSR1, theirs)
    try:
        exporter = ReportExporter()
        assert signal.getsignal(signal.SIGUSR1) is theirs
        exporter.shutdown()
        assert signal.getsignal(signal.SIGUSR1) is theirs
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_it_can_be_made_in_any_thread() -> None:
    made: list[ReportExporter] = []
    thread = threading.Thread(target=lambda: made.append(ReportExporter()))
    thread.start()
    thread.join()
    made[0].shutdown()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_counts_only_its_own() -> None:
    exporter = ReportExporter(io.StringIO())
    exporter.aggregate.add(attributes("kv.get", 1.0), 1.0)
    exporter._lock.acquire()
    child = os.fork()
    if child == 0:
        exporter._lock.acquire(timeout=5)
        os._exit(exporter.aggregate.calls)
    assert os.waitpid(child, 0)[1] == 0
    assert exporter.aggregate.calls == 1
    exporter._lock.release()
    exporter.shutdown()


APP = """
import select, sys, consul
client = consul.Consul()
for _ in range(20):
    client.kv.get("nothing-here")
client.kv.put("a", "b")
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    pass  # a signal that comes just before one blocks for good is not handled meanwhile, from Python 3.14 on
print("done", flush=True)
"""


@pytest.fixture
def app(tmp_path: Path, stub: StubAgent) -> subprocess.Popen[str]:
    """An ordinary program under `opentelemetry-instrument`; it ends when its standard input does."""
    pytest.importorskip("consul")
    pytest.importorskip("opentelemetry.distro")
    (tmp_path / "app.py").write_text(APP)
    stub.fault("/v1/kv/a", delay=0.3)
    variables = {
        **os.environ,
        "CONSUL_HTTP_ADDR": f"127.0.0.1:{stub.port}",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    command = [str(INSTRUMENT), "--traces_exporter", "consul_report", sys.executable, "app.py"]
    return subprocess.Popen(
        command, cwd=tmp_path, env=variables, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_by_name_at_exit(app: subprocess.Popen[str]) -> None:
    stdout, stderr = app.communicate("\n", timeout=30)
    assert app.returncode == 0, stderr
    assert stdout == "ready\ndone\n"
    assert "Consul calls of shop, process " in stderr
    assert "20 not found" in stderr
    assert "Look first at kv.put." in stderr


def test_by_name_on_sigusr1(app: subprocess.Popen[str]) -> None:
    assert app.stdout is not None
    assert app.stderr is not None
    assert app.stdin is not None
    assert app.stdout.readline() == "ready\n"
    app.send_signal(signal.SIGUSR1)
    shown = []
    while not shown or "Look first" not in shown[-1]:
        shown.append(app.stderr.readline())
        assert shown[-1], "the program ended"
    assert "20 not found" in "".join(shown)
    assert app.poll() is None
    _, stderr = app.communicate("\n", timeout=30)
    assert app.returncode == 0
    assert "Look first" in stderr


def test_by_name_on_sigterm_as_a_supervisor_ends_it(app: subprocess.Popen[str]) -> None:
    assert app.stdout is not None
    assert app.stdout.readline() == "ready\n"
    app.terminate()
    stdout, stderr = app.communicate(timeout=30)
    assert app.returncode == -signal.SIGTERM
    assert stdout == ""
    assert stderr.count("Consul calls of shop, process ") == 1
    assert "20 not found" in stderr
    assert "Look first at kv.put." in stderr
