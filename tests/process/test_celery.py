"""Celery workers under the launcher, with every pool: all tasks are done, and all their calls are seen."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.stub_agent import StubAgent
from tests.process.conftest import OTHERS

pytest.importorskip("consul")
celery = pytest.importorskip("celery")

TASKS = 15
LIMIT = 40.0
"""Seconds a worker may take: it imports an SDK on a busy machine."""
APP = """
import os
from celery import Celery
import consul
folder = os.path.dirname(os.path.abspath(__file__))
app = Celery("app", broker="filesystem://")
app.conf.broker_transport_options = {name: f"{folder}/messages" for name in
    ("data_folder_in", "data_folder_out", "control_folder")}
app.conf.worker_hijack_root_logger = False

@app.task
def work(number):
    value = consul.Consul().kv.get("a")[1]["Value"].decode()
    with open(f"{folder}/done/{number}", "w") as file:
        file.write(value)
"""
POOLS = [
    pytest.param(
        pool, marks=pytest.mark.skipif(importlib.util.find_spec(needs) is None, reason=f"{needs} is not installed")
    )
    for pool, needs in [
        ("prefork", "celery"), ("threads", "celery"), ("solo", "celery"), ("gevent", "gevent"), ("eventlet", "eventlet"),
    ]
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("pool", POOLS)
def test_every_task_is_done_and_seen(pool: str, stub: StubAgent, tmp_path: Path) -> None:
    stub.put("a", "1")
    for folder in ("messages", "done"):
        (tmp_path / folder).mkdir()
    (tmp_path / "app.py").write_text(APP)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CONSUL_", "COV"))}
    environ |= {
        "CONSUL_HTTP_ADDR": f"127.0.0.1:{stub.port}",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": f"{OTHERS},celery",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    launcher = [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, "-m", "celery"]
    send = f"import app\nfor number in range({TASKS}): app.work.delay(number)"
    subprocess.run([sys.executable, "-c", send], cwd=tmp_path, env=environ, check=True, timeout=LIMIT)
    with (tmp_path / "out").open("wb") as out:
        worker = subprocess.Popen(
            [*launcher, "-A", "app", "worker", "--pool", pool, "-c", "4", "--without-gossip", "--without-mingle"],
            cwd=tmp_path, env=environ, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            end = time.monotonic() + LIMIT
            while (len(done(tmp_path)) < TASKS or spans(tmp_path) < TASKS) and time.monotonic() < end:
                assert worker.poll() is None, (tmp_path / "out").read_text()[-3000:]
                time.sleep(0.1)
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    text = (tmp_path / "out").read_text()
    assert done(tmp_path) == ["1"] * TASKS, text[-3000:]
    assert spans(tmp_path) == TASKS, text[-3000:]
    assert "otel_consul failed" not in text


def done(folder: Path) -> list[str]:
    return [file.read_text() for file in (folder / "done").iterdir() if file.stat().st_size]


def spans(folder: Path) -> int:
    return (folder / "out").read_text(errors="replace").count('"name": "kv.get"')
