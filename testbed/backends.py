"""Real metrics servers on loopback: VictoriaMetrics taking OTLP, and Prometheus scraping. Both from Debian packages."""

from __future__ import annotations

import functools
import json
import shutil
import socket
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.debian import program
from testbed.processes import Process, free_ports

HOST = "127.0.0.1"
START_SECONDS = 30.0


@functools.cache
def server(name: str) -> Path:
    """The program of this name: on PATH, else fetched (see testbed.debian). Unavailable when it cannot be had."""
    found = shutil.which(name)
    return Path(found) if found else program(name)


class QueryError(Exception):
    """The server refused a query."""


@dataclass(frozen=True)
class Backend:
    """A server that answers Prometheus's HTTP API."""

    name: str
    url: str

    @property
    def otlp_metrics_url(self) -> str:
        """Where VictoriaMetrics takes OTLP."""
        return f"{self.url}/opentelemetry/v1/metrics"

    def show_all(self) -> None:
        """Make VictoriaMetrics show what it got a moment ago."""
        with urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=30) as answer:
            answer.read()

    def get(self, path: str, **parameters: Any) -> Any:
        """The `data` of an answer."""
        body = urllib.parse.urlencode(parameters, doseq=True)
        # A GET for what has no POST, as Grafana does.
        post = path in {"query", "query_range"}
        url = f"{self.url}/api/v1/{path}" + ("" if post else f"?{body}")
        try:
            with urllib.request.urlopen(url, body.encode() if post else None, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise QueryError(f"{self.name}: {error.read().decode(errors='replace')[:600]}") from None


def port_like(wanted: int) -> int:
    """This port, or another where it is taken."""
    with socket.socket() as probe:
        try:
            probe.bind((HOST, wanted))
        except OSError:
            return free_ports(1)[0]
    return wanted


@contextmanager
def victoria_metrics(port: int = 0) -> Iterator[Backend]:
    """VictoriaMetrics with Prometheus's names, and nothing held back from queries."""
    port = port or free_ports(1)[0]
    flags = (
        f"-httpListenAddr={HOST}:{port}",
        "-opentelemetry.usePrometheusNaming",
        "-search.latencyOffset=0s",
        "-memory.allowedBytes=256MB",
        "-loggerLevel=WARN",
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [str(server("victoria-metrics")), f"-storageDataPath={folder}/data", *flags]
        with _running(command, Path(folder), f"http://{HOST}:{port}", "/health"):
            yield Backend("VictoriaMetrics", f"http://{HOST}:{port}")


@contextmanager
def prometheus(job: str, scrape_ports: Sequence[int]) -> Iterator[Backend]:
    """Prometheus scraping these ports every second. Its configuration is JSON, which is YAML."""
    (port,) = free_ports(1)
    targets = [f"{HOST}:{each}" for each in scrape_ports]
    scrape = {
        "job_name": job,
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": targets}],
    }
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "prometheus.yml")
        config.write_text(json.dumps({"scrape_configs": [scrape]}), "utf-8")
        command = [
            str(server("prometheus")),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={HOST}:{port}",
            "--log.level=warn",
        ]
        with _running(command, Path(folder), f"http://{HOST}:{port}", "/-/ready"):
            yield Backend("Prometheus", f"http://{HOST}:{port}")


@contextmanager
def _running(command: list[str], folder: Path, url: str, ready: str) -> Iterator[None]:
    process = Process(command, folder / "log")
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url + ready):
            if not process.running or time.monotonic() > deadline:
                raise RuntimeError(f"{Path(command[0]).name} did not start:\n{process.tail()}")
            time.sleep(0.1)
        yield
    finally:
        process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
