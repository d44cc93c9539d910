"""The Kubernetes examples, as far as they can be run without a cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.kubernetes import build
from testbed.otlp_receiver import OtlpReceiver
from testbed.stub_agent import StubAgent

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "kubernetes"


@pytest.fixture(scope="module")
def printed() -> list[Any]:
    command = [sys.executable, "-m", "examples.kubernetes.build", "--namespace", "shop", "--label", "board=yes"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return list(yaml.safe_load_all(result.stdout))


def test_the_config_map_has_each_dashboard_as_it_is(printed: list[Any]) -> None:
    config = printed[0]
    assert (config["apiVersion"], config["kind"]) == ("v1", "ConfigMap")
    assert config["metadata"] == {
        "name": "consul-client-dashboards", "namespace": "shop", "labels": {"board": "yes"}
    }  # fmt: skip
    files = {path.name: path.read_text("utf-8") for path in (build.GRAFANA / "dashboards").glob("*.json")}
    assert len(files) == 3
    assert {name: json.loads(text) for name, text in config["data"].items()} == {
        name: json.loads(text) for name, text in files.items()
    }
    assert sum(map(len, config["data"].values())) < 1_000_000, "what a ConfigMap may hold"


def test_the_rule_has_each_group_as_it_is(printed: list[Any]) -> None:
    rule = printed[1]
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((build.GRAFANA / "rules.yaml").read_text("utf-8"))
    assert {name for group in rule["spec"]["groups"] for one in group["rules"] for name in one} <= {
        "record", "alert", "expr", "for", "labels", "annotations"
    }  # fmt: skip


def test_the_instrumentation_is_what_the_operator_reads() -> None:
    found = yaml.safe_load((FOLDER / "instrumentation.yaml").read_text("utf-8"))
    assert (found["apiVersion"], found["kind"]) == ("opentelemetry.io/v1alpha1", "Instrumentation")
    assert set(found["spec"]) <= {"exporter", "propagators", "sampler", "resource", "env", "python"}
    assert set(found["spec"]["python"]) <= {"image", "env", "volumeSizeLimit", "resourceRequirements"}
    assert all(
        set(one) == {"name", "value"} and isinstance(one["value"], str) for one in found["spec"]["python"]["env"]
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_folder_that_the_operator_mounts_instruments_a_program_of_its_own_environment(
    tmp_path: Path, stub: StubAgent
) -> None:
    """What the Dockerfile installs, into one folder; the path the operator sets; the client in the program's environment."""
    words = re.search(r"--target workspace \\\n(.*)\n", (FOLDER / "Dockerfile").read_text("utf-8"))
    assert words is not None
    wanted = [str(ROOT) if word == "./otel-consul" else word for word in words[1].split()]
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("no uv here: nox[uv] brings it")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CONSUL_", "PYTHONPATH"))
    }

    def run(*command: str, **env: str) -> str:
        result = subprocess.run(
            command, cwd=tmp_path, env={**kept, **env}, capture_output=True, text=True, timeout=200, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    mounted = tmp_path / "otel-auto-instrumentation-python"
    run(uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(mounted), *wanted)
    run(uv, "venv", "--quiet", "--python", sys.executable, "app")
    python = str(tmp_path / "app" / "bin" / "python")
    run(uv, "pip", "install", "--quiet", "--python", python, "py-consul")
    stub.put("a", "1")
    with OtlpReceiver() as receiver:
        run(
            python, "-c", f"import consul; consul.Consul(port={stub.port}).kv.get('a')",
            PYTHONPATH=f"{mounted}/opentelemetry/instrumentation/auto_instrumentation:{mounted}",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="otlp", OTEL_SERVICE_NAME="app",
        )  # fmt: skip
        receiver.wait_for(lambda received: any(span.name == "kv.get" for span in received.spans), 10.0)
