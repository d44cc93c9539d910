"""Programs of a user's, run in a process of their own with nothing but environment variables and code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed.stub_agent import StubAgent

LIMIT = 40.0
"""Seconds a program may take: it imports an SDK on a busy machine."""


@dataclass(frozen=True)
class Finished:
    """What a program left."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The JSON objects on standard output, one after the other, other lines left out."""
        found: list[dict[str, Any]] = []
        decoder, text = json.JSONDecoder(), self.out
        while (start := text.find("{")) >= 0:
            try:
                document, end = decoder.raw_decode(text[start:])
            except ValueError:
                text = text[start + 1 :]
                continue
            found.append(document)
            text = text[start + end :]
        return found

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [document for document in self.documents if "context" in document]

    def metric(self, name: str) -> list[dict[str, Any]]:
        """The data points of a metric in the last collection that was printed."""
        collections = [document for document in self.documents if "resource_metrics" in document]
        return [
            point
            for resource in (collections[-1]["resource_metrics"] if collections else ())
            for scope in resource["scope_metrics"]
            for metric in scope["metrics"]
            if metric["name"] == name
            for point in metric["data"]["data_points"]
        ]

    @property
    def own_lines(self) -> list[str]:
        """What the plugin's logger said, if the program prints logs as `logger: message`."""
        return [line for line in self.err.splitlines() if line.startswith("otel_consul:")]


Run = Callable[..., Finished]

LOGGING = "import logging; logging.basicConfig(level=logging.INFO, format='%(name)s: %(message)s')\n"
"""Makes `Finished.own_lines` work."""
OTHERS = "requests,urllib3,aiohttp-client,aiohttp_client"
"""Instrumentations this environment may have; their spans would nest under ours."""
CALL = "import consul; print('VALUE', consul.Consul().kv.get('a')[1])\n"


@pytest.fixture
def run(stub: StubAgent, tmp_path: Path) -> Run:
    """Run Python code, under `opentelemetry-instrument` if asked, with an agent at CONSUL_HTTP_ADDR that has key `a`."""
    stub.put("a", "1")

    def run(code: str, *, auto: bool | list[str] = False, env: Mapping[str, str] | None = None) -> Finished:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CONSUL_", "COV"))}
        program = [sys.executable, "-c", textwrap.dedent(code)]
        if auto is not False:
            launcher = [str(Path(sys.executable).with_name("opentelemetry-instrument"))]
            program = [*launcher, *(auto if isinstance(auto, list) else []), *program]
        done = subprocess.run(
            program,
            env={
                **kept,
                "CONSUL_HTTP_ADDR": f"127.0.0.1:{stub.port}",
                "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": OTHERS,
                **(env or {}),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run
