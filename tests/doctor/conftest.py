"""The doctor run as its users run it: a process of its own, in an environment of which one thing is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from testbed.otlp_receiver import OtlpReceiver
from testbed.stub_agent import StubAgent

ROOT = Path(__file__).parents[2]
SOURCES = str(ROOT / "src")
LIMIT = 50.0
DROPPED = ("OTEL_", "PYTHON", "CONSUL_", "DD_", "COV", "WEB_CONCURRENCY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
OTHERS = "requests,urllib3,urllib,httpx,aiohttp-client,aiohttp_client,system_metrics"


@dataclass(frozen=True)
class Report:
    """What the doctor printed with `--json`."""

    status: int
    findings: list[dict[str, Any]]
    out: str
    err: str

    @property
    def first(self) -> str:
        """The code of the first finding."""
        return str(self.findings[0]["code"])

    @property
    def codes(self) -> list[str]:
        return [str(one["code"]) for one in self.findings]

    def of(self, code: str) -> dict[str, Any]:
        """The finding of that code."""
        return next(one for one in self.findings if one["code"] == code)

    def text(self, code: str) -> str:
        return str(self.of(code)["text"])


Doctor = Callable[..., Report]


def clean_environ() -> dict[str, str]:
    """This environment without anything the doctor looks at."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(DROPPED)}
    folder = str(Path(sys.executable).parent)
    return {**kept, "PATH": os.pathsep.join([folder, kept.get("PATH", "")]), "PYTHONPATH": SOURCES}


@pytest.fixture(autouse=True)
def _there() -> None:
    for needed in ("consul.std", "opentelemetry.distro", "opentelemetry.exporter.otlp.proto.http"):
        pytest.importorskip(needed, exc_type=ImportError)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def environ(stub: StubAgent, receiver: OtlpReceiver) -> dict[str, str]:
    """An environment in which all is well."""
    return {
        **clean_environ(),
        "CONSUL_HTTP_ADDR": f"127.0.0.1:{stub.port}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": OTHERS,
    }


@pytest.fixture
def doctor(environ: dict[str, str], tmp_path: Path) -> Doctor:
    """Run it: options and command as words, variables as keywords (None takes one away)."""

    def run(*words: str, python: str = sys.executable, plain: bool = False, **variables: str | None) -> Report:
        merged: Mapping[str, str | None] = {**environ, **variables}
        options = [] if plain else ["--json"]
        done = subprocess.run(
            [python, "-m", "otel_consul", "doctor", *options, *words],
            env={name: value for name, value in merged.items() if value is not None},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        findings = [] if plain else json.loads(done.stdout or "{}").get("findings", [])
        assert findings or plain, done.stderr
        return Report(done.returncode, findings, done.stdout, done.stderr)

    return run


class Environment:
    """A virtual environment that has all of this one's packages but some: links, so nothing is downloaded."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.python = str(folder / "bin" / "python")
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.packages = folder / "lib" / version / "site-packages"
        self.bin = folder / "bin"

    def link(self, *without: str) -> Environment:
        """Link what this environment has, but for the files and folders that fit a glob."""
        for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
            if any(fnmatchcase(entry.name, pattern) for pattern in without) or entry.name == "opentelemetry":
                continue
            if not (self.packages / entry.name).exists():
                (self.packages / entry.name).symlink_to(entry)
        self._link_namespace("opentelemetry", without)
        return self

    def _link_namespace(self, name: str, without: tuple[str, ...]) -> None:
        """`opentelemetry` and `opentelemetry.exporter` are shared by many distributions."""
        (self.packages / name).mkdir(exist_ok=True)
        for entry in (Path(sysconfig.get_paths()["purelib"]) / name).iterdir():
            path = f"{name}/{entry.name}"
            if any(fnmatchcase(path, pattern) for pattern in without):
                continue
            if path in ("opentelemetry/exporter", "opentelemetry/exporter/otlp", "opentelemetry/exporter/otlp/proto"):
                self._link_namespace(path, without)
            else:
                (self.packages / path).symlink_to(entry)

    def write(self, path: str, text: str) -> Environment:
        file = self.packages / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return self

    def distribution(self, name: str, version: str, **entry_points: str) -> Environment:
        """Metadata as of an installed distribution. `group="name = module:object"`."""
        folder = f"{name.replace('-', '_')}-{version}.dist-info"
        self.write(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"[{group}]\n{line}\n" for group, line in entry_points.items()]
        return self.write(f"{folder}/entry_points.txt", "\n".join(lines))


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")
