"""ddtrace's Consul integration beside the plugin: python-consul 1.1.0, the only client it works with.

python-consul and py-consul install the same package, so this runs in an environment of its own, made once beside the
running one (`--quick` does not make it). There both are measured alternately, in one process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.cost.table import Row
from benchmarks.cost.telemetry import Providers, facts, floor
from benchmarks.cost.timing import Effort, Figures, Series, Variant, measure, repeat

ROOT = Path(__file__).parents[2]
FOLDER = Path(sys.prefix) / "bench-ddtrace"
PACKAGES = ("opentelemetry-sdk", "python-consul==1.1.0", "ddtrace", "requests")
TARGET = 1.0
WHAT = "sync, client's transport answers: plugin / ddtrace"
QUIET = {
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_STARTUP_LOGS": "false",
}


def rows(effort: Effort) -> list[Row]:
    try:
        python = _environment(make=not effort.quick)
        done = subprocess.run(
            [python, "-m", "benchmarks.cost.datadog", json.dumps(asdict(effort))],
            cwd=ROOT,
            env={**os.environ, **QUIET},
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as why:
        said = getattr(why, "stderr", None) or str(why)
        return [Row(1, WHAT, None, detail=f"ddtrace could not be run: {said.strip().splitlines()[-1][:120]}")]
    figures = Figures({name: Series(**values) for name, values in found["series"].items()})
    ours, theirs = figures.extra("plugin", "bare"), figures.extra("ddtrace", "bare")
    detail = (
        f"+{ours.median:.1f} µs against +{theirs.median:.1f} µs; python-consul {found['consul']}, ddtrace "
        f"{found['ddtrace']}; ours: {found['attributes']} attributes and a metric, theirs: {found['tags']} tags"
    )
    return [
        Row(1, WHAT, figures.ratio("plugin", "ddtrace", "bare"), target=TARGET, detail=detail),
        Row(
            1,
            "sync, client's transport answers: floor / ddtrace",
            figures.ratio("floor", "ddtrace", "bare"),
            detail="what OpenTelemetry's SDK alone costs beside it",
        ),
    ]


def _environment(*, make: bool) -> str:
    named = os.environ.get("BENCH_DDTRACE_PYTHON")
    if named:
        return named
    python = FOLDER / "bin" / "python"
    ready = FOLDER / ".ready"
    if not ready.exists():
        if not make:
            raise OSError(f"its environment {FOLDER.name} is not there; a run without --quick makes it")
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True, timeout=120)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--editable", str(ROOT), *PACKAGES], check=True, capture_output=True, text=True, timeout=600
        )
        ready.touch()
    return str(python)


# --- in the other environment -----------------------------------------------------------------------------------------


class _Writer:
    """As good as ddtrace's own when it drops everything."""

    def __init__(self) -> None:
        self.last: Any = None

    def write(self, spans: Any = None) -> None:
        self.last = spans

    def recreate(self, *args: Any, **kwargs: Any) -> _Writer:
        return self

    def stop(self, timeout: float | None = None) -> None:
        pass

    def flush_queue(self) -> None:
        pass


@contextmanager
def _ddtrace() -> Iterator[None]:
    integration = import_module("ddtrace.contrib.internal.consul.patch")
    integration.patch()
    try:
        yield
    finally:
        integration.unpatch()


def main() -> None:
    from importlib.metadata import version

    from benchmarks.cost import memory

    effort = Effort(**json.loads(sys.argv[1]))
    effort = replace(effort, rounds=max(7, effort.rounds))
    tracer = import_module("ddtrace.trace").tracer
    writer = _Writer()
    tracer._span_aggregator.writer = writer
    client = memory.client()

    def call() -> Any:
        return client.kv.get("benchmark/a")

    plain = repeat(call)
    with _ddtrace():
        call()
    if writer.last is None:
        raise SystemExit("ddtrace made no span")
    (span,) = writer.last
    tags = len({**span.get_tags(), **span.get_metrics()})
    providers = Providers()
    known = facts(plain)
    figures = measure(
        [
            Variant("bare", plain),
            Variant("floor", repeat(floor(call, known, providers))),
            Variant("plugin", plain, providers.plugin),
            Variant("ddtrace", plain, _ddtrace),
        ],
        effort.rounds,
        effort.batch,
    )
    series = {name: asdict(values) for name, values in figures.series.items()}
    attributes = len(known.start) + len(known.end)
    versions = {"ddtrace": version("ddtrace"), "consul": version("python-consul")}
    print(json.dumps({"series": series, "attributes": attributes, "tags": tags, **versions}))


if __name__ == "__main__":
    main()
