"""The Pythons that machines lack run on their own C library, and in an environment as any other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed import debian, pythons

FACTS = """
import asyncio, ctypes, hashlib, lzma, sqlite3, ssl, sys, uuid, zlib
print("%d.%d" % sys.version_info[:2])
mapped = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
print(*sorted(mapped))
"""


@pytest.fixture(params=pythons.SUITES)
def python(request: pytest.FixtureRequest) -> Path:
    try:
        return pythons.python(request.param)
    except pythons.Unavailable as error:
        if os.environ.get(pythons.REQUIRED) == "1":
            raise
        pytest.skip(error.reason)


def test_it_runs_on_the_libraries_beside_it(python: Path) -> None:
    version, mapped = subprocess.run(
        [python, "-c", FACTS], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert python.name == f"python{version}"
    assert any("libc.so" in path for path in mapped.split())
    assert [path for path in mapped.split() if not path.startswith(str(debian.cache_folder().resolve()))] == []


def test_an_environment_of_it_runs_programs_of_the_machine(python: Path, tmp_path: Path) -> None:
    subprocess.run([python, "-m", "venv", "--without-pip", tmp_path], check=True)
    code = "import subprocess, sys; sys.exit(subprocess.run(['/bin/sh', '-c', 'exit 7']).returncode)"
    assert subprocess.run([tmp_path / "bin/python", "-c", code], check=False).returncode == 7


@pytest.mark.parametrize("required", ["", "1"])
def test_where_it_cannot_be_had_a_line_says_why(required: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": str(tmp_path),
        "OTEL_CONSUL_TEST_CACHE": str(tmp_path),
        "OTEL_CONSUL_NO_FETCH": "1",
        pythons.REQUIRED: required,
    }
    done = subprocess.run(
        [sys.executable, "-m", "testbed.pythons"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == (1 if required else 0)
    assert done.stdout == ""
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["No Python 3.14", "No Python 3.15"]
