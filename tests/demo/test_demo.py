"""`python -m demo` as a visitor runs it, on the stand-in agent. The whole story on a real Consul is `make demo`."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from testbed.cgroups import cannot

ROOT = Path(__file__).parents[2]
for needed in ("aiohttp", "consul.aio", "opentelemetry.distro", "opentelemetry.exporter.otlp.proto.http", "rich"):
    pytest.importorskip(needed)


INTERRUPTS_IGNORED = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
"""As whatever a script starts in its background has them; Ctrl-C must end it all the same."""


def start(*arguments: str, mark: str = "", **variables: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.Popen(
        [*INTERRUPTS_IGNORED, sys.executable, "-m", "demo", *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**env, "COLUMNS": "80", "DEMO_TEST": mark, **variables},
    )  # fmt: skip


def marked(mark: str) -> list[int]:
    """Processes that descend from the demo started with `mark`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"DEMO_TEST={mark}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            pass
    return found


def test_the_program_knows_nothing_of_telemetry() -> None:
    imported = set()
    for node in ast.walk(ast.parse((ROOT / "demo" / "shop.py").read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert "consul" in imported
    assert imported <= {"consul", *sys.stdlib_module_names}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "finding", "sentence"),
    [
        ("2", "Injected: a slow Consul. Blamed: Consul.", "was waiting for Consul: its side had the whole request"),
        ("3", "Injected: too few connections. Blamed: too few connections.", "was waiting for a free connection"),
        ("4", "Injected: a blocked event loop. Blamed: the program's event loop.", "its event loop was blocked"),
    ],
)
def test_an_act_names_its_culprit_within_80_columns(act: str, finding: str, sentence: str) -> None:
    demo = start("--stub", "--acts", act)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, output
    assert f"✔ {finding}" in output
    assert sentence in " ".join(output.split())
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.slow
def test_a_cpu_limit_is_named_where_one_can_be_set() -> None:
    demo = start("--stub", "--acts", "5,1")
    output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 0, output
    if cannot():
        assert "The act with a CPU limit is left out: " in output
    else:
        assert "✔ Injected: a CPU limit. Blamed: the CPU limit." in output
        assert "was lost to this container's CPU limit" in " ".join(output.split())


@pytest.mark.slow
def test_a_hang_is_seen_while_it_hangs() -> None:
    demo = start("--stub", "--acts", "6", "--seconds", "6")
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, output
    assert "✔ Injected: a dead connection. Blamed: calls without a deadline." in output
    assert "nothing would have stopped them (no deadline)" in " ".join(output.split())
    assert "WARN kv.get has been waiting for " in output


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_when_stopped_it_leaves_no_process(number: int, status: int) -> None:
    mark = uuid.uuid4().hex
    demo = start("--stub", "--acts", "1", mark=mark)
    assert demo.stdout is not None
    while "spans received" not in (line := demo.stdout.readline()):
        assert line, "it ended by itself"
    assert len(marked(mark)) > 1
    demo.send_signal(number)
    assert demo.wait(20) == status
    end = time.monotonic() + 5
    while marked(mark) and time.monotonic() < end:
        time.sleep(0.05)
    assert not marked(mark)
