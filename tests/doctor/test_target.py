"""Commands taken apart: which interpreter they start, and in which environment."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.instrumentation", exc_type=ImportError)

from otel_consul.doctor import target as targets
from otel_consul.doctor.target import Target, Unreadable

PATH = str(Path(sys.executable).parent)
PYTHON = shutil.which("python", path=PATH) or sys.executable


def read(*words: str, **variables: str) -> Target:
    return targets.read(words, {"PATH": PATH} | variables)


def test_no_command_is_this_interpreter_under_the_launcher() -> None:
    assert (read().interpreter, read().launcher) == (sys.executable, "assumed")


def test_a_script() -> None:
    target = read(PYTHON, "-X", "dev", "-W", "error", "-u", "shop/app.py", "--port", "80")

    assert (target.interpreter, target.script, target.program) == (PYTHON, Path("shop/app.py"), "app.py")
    assert target.flags == ("-X", "dev", "-W", "error", "-u")
    assert target.arguments == ("--port", "80")
    assert not target.launched


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (("-m", "gunicorn", "-w", "4"), "gunicorn"),
        (("-m", "shop"), "shop"),
        (("-c", "import consul"), "-c"),
        ((), ""),
    ],
)
def test_what_is_no_script(words: tuple[str, ...], program: str) -> None:
    target = read(PYTHON, *words)

    assert (target.script, target.program) == (None, program)


def test_the_launcher_and_its_options() -> None:
    target = read(
        *("opentelemetry-instrument", "--traces_exporter", "console", "--exporter_otlp_protocol=grpc"),
        *("--disabled_instrumentations", "flask", PYTHON, "app.py"),
    )

    assert target.launcher == "command"
    assert target.environ["OTEL_TRACES_EXPORTER"] == "console"
    assert target.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    assert target.environ["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] == "flask"


def test_variables_before_it(tmp_path: Path) -> None:
    (tmp_path / "ddtrace-run").touch(0o755)
    target = read(
        "env",
        "A=1",
        "B=x=y",
        "ddtrace-run",
        "opentelemetry-instrument",
        PYTHON,
        "app.py",
        A="0",
        PATH=f"{tmp_path}:{PATH}",
    )

    assert (target.environ["A"], target.environ["B"]) == ("1", "x=y")
    assert target.ddtrace == str(tmp_path / "ddtrace-run")
    assert target.launcher == "command"


def test_the_launchers_folder_on_pythonpath() -> None:
    folder = str(targets.auto_folder())

    target = read(PYTHON, "app.py", PYTHONPATH=f"{folder}:/somewhere")

    assert (target.launcher, target.environ["PYTHONPATH"]) == ("environment", "/somewhere")
    assert "PYTHONPATH" not in read(PYTHON, "app.py", PYTHONPATH=folder).environ


@pytest.mark.parametrize("line", ["#!{python}", "#!/usr/bin/env python3", "#!/bin/sh\n'''exec' {python} \"$0\" \"$@\""])
def test_an_installed_script(tmp_path: Path, line: str) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "python3").symlink_to(sys.executable)
    script = tmp_path / "gunicorn"
    script.write_text(line.format(python=tmp_path / "python") + "\n")
    script.chmod(0o755)

    target = targets.read(["gunicorn", "-w", "4"], {"PATH": f"{tmp_path}:/usr/bin"})

    assert target.interpreter in {str(tmp_path / "python"), str(tmp_path / "python3")}
    assert (target.program, target.arguments) == ("gunicorn", ("-w", "4"))


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (("-m", "shop.main"), "shop"),
        (("-m", "gunicorn", "-k", "gevent", "shop.wsgi:app"), "shop"),
        (("-m", "celery", "-A", "shop.tasks", "worker"), "shop"),
        (("-m", "uvicorn", "main:app", "--workers", "4"), "main"),
        (("app.py",), ""),
    ],
)
def test_the_module_that_is_run_or_served(words: tuple[str, ...], module: str) -> None:
    assert read(PYTHON, *words).module == module


@pytest.mark.parametrize(
    "words",
    [
        ("nowhere-to-be-found", "app.py"),
        ("opentelemetry-instrument",),
        ("ddtrace-run", "python"),
        ("env", "-i", "python"),
        ("/bin/sh", "app.sh"),
    ],
)
def test_what_cannot_be_read(words: tuple[str, ...]) -> None:
    with pytest.raises(Unreadable):
        read(*words)
