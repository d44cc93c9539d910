"""The package as a user installs it: what is in it, and that an unmodified program is seen with environment variables only."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import otel_consul
from testbed.stub_agent import StubAgent

pytest.importorskip("consul.std", reason="needs one of the libraries named consul", exc_type=ImportError)


def program(code: str, stub: StubAgent, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The code under `opentelemetry-instrument`, away from this repository."""
    command = [str(Path(sys.executable).with_name("opentelemetry-instrument")), *options, sys.executable, "-c", code]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PYTHON", "CONSUL_"))}
    return subprocess.run(
        command,
        cwd=folder,
        env={**clean, "CONSUL_HTTP_ADDR": f"127.0.0.1:{stub.port}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def spans(output: str) -> list[dict[str, object]]:
    """The objects the console exporter printed one after the other."""
    decoder, found, rest = json.JSONDecoder(), [], output.strip()
    while rest:
        span, end = decoder.raw_decode(rest)
        found.append(span)
        rest = rest[end:].lstrip()
    return found


def test_unmodified_program_prints_one_span(stub: StubAgent, tmp_path: Path) -> None:
    stub.put("a", "1")
    ran = program(
        f"import consul; consul.Consul(port={stub.port}).kv.get('a')",
        stub,
        tmp_path,
        *("--traces_exporter", "console", "--metrics_exporter", "none", "--logs_exporter", "none"),
    )

    (span,) = [s for s in spans(ran.stdout) if s["name"] == "kv.get"]
    assert span["kind"] == "SpanKind.CLIENT"
    attributes = span["attributes"]
    assert isinstance(attributes, dict)
    assert attributes["consul.operation"] == "kv.get"
    assert attributes["consul.outcome"] == "ok"
    assert attributes["server.port"] == stub.port


def test_program_that_never_uses_consul_starts_and_ends(stub: StubAgent, tmp_path: Path) -> None:
    ran = program(
        "print('done')",
        stub,
        tmp_path,
        *("--traces_exporter", "none", "--metrics_exporter", "none", "--logs_exporter", "none"),
    )

    assert ran.stdout.strip() == "done"


def test_distribution_says_what_it_is() -> None:
    distribution = importlib.metadata.distribution("otel-consul")

    assert distribution.version == otel_consul.__version__
    (entry,) = distribution.entry_points.select(group="opentelemetry_instrumentor")
    assert (entry.name, entry.load()) == ("consul", otel_consul.ConsulInstrumentor)
    assert importlib.resources.files("otel_consul").joinpath("py.typed").is_file()
    assert any(str(file).endswith("licenses/LICENSE") for file in distribution.files or [])


def test_nothing_but_the_package_is_installed() -> None:
    files = importlib.metadata.files("otel-consul") or []
    tops = {file.parts[0] for file in files if not file.parts[0].startswith("..")}

    assert {top for top in tops if not top.endswith((".dist-info", ".pth"))} <= {"otel_consul"}
