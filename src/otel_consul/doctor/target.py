"""Whose environment is examined: which interpreter a command starts, how, and with which variables.

The command is read, never run: `env A=1 opentelemetry-instrument --traces_exporter console python -X dev app.py`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

AUTO: Final = "opentelemetry.instrumentation.auto_instrumentation"
LAUNCHER: Final = "opentelemetry-instrument"
DDTRACE: Final = "ddtrace-run"
_PYTHON: Final = re.compile(r"(python|pypy)[0-9.]*")
_SERVED: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.()]*")
_WITH_VALUE: Final = frozenset({"-W", "-X", "--check-hash-based-pycs"})
_SHEBANG: Final = 200
SERVERS: Final = frozenset({"gunicorn", "uwsgi", "celery", "uvicorn", "hypercorn", "granian"})
"""Programs that can start several workers."""


class Unreadable(Exception):  # noqa: N818 -- it says what the command is
    """A command whose interpreter cannot be told."""


@dataclass(frozen=True)
class Target:
    """One command, taken apart."""

    interpreter: str = sys.executable
    flags: tuple[str, ...] = ()
    """The interpreter's own options."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """What the program will find in its environment."""
    launcher: str = "assumed"
    """`command` (opentelemetry-instrument is in it), `environment` (PYTHONPATH does its work), `assumed` (there is no
    command), or `""` (the program has to do it all)."""
    launcher_found: bool = True
    script: Path | None = None
    program: str = ""
    """`gunicorn`, `app.py`: what is run."""
    arguments: tuple[str, ...] = ()
    module: str = ""
    """The module that is run or served, if it is no script."""
    code: str = ""
    """What stands after -c."""
    ddtrace: str = ""
    """The ddtrace-run of the command."""

    @property
    def launched(self) -> bool:
        """Whether the plugin is switched on from outside."""
        return bool(self.launcher)


def read(words: Sequence[str], environ: Mapping[str, str] | None = None) -> Target:
    """Take a command apart. Unreadable if it cannot be told which interpreter it starts."""
    variables = dict(os.environ if environ is None else environ)
    rest = list(words)
    launcher, found, ddtrace = ("assumed", True, "") if not rest else ("", True, "")
    while rest:
        name = Path(rest[0]).name
        if name == "env":
            rest = _assign(rest[1:], variables)
        elif name == LAUNCHER:
            launcher, found = "command", shutil.which(rest[0], path=variables.get("PATH")) is not None
            rest = _launcher_options(rest[1:], variables)
        elif name == DDTRACE:
            ddtrace, rest = _which(rest[0], variables), rest[1:]
        else:
            break
    if _cleaned(variables):
        launcher = launcher if launcher == "command" else "environment"
    if not words:
        return Target(environ=variables, launcher=launcher)
    if not rest:
        raise Unreadable("the command ends before it names a program")
    interpreter, flags, rest = _interpreter(rest, variables)
    started = Target(interpreter, tuple(flags), variables, launcher, found, ddtrace=ddtrace)
    return _with_program(started, rest)


def auto_folder() -> str | None:
    """The folder whose `sitecustomize` is what opentelemetry-instrument puts first on PYTHONPATH."""
    try:
        spec = find_spec(AUTO)
    except (ImportError, ValueError):
        return None
    return str(Path(spec.origin).parent) if spec is not None and spec.origin else None


def _cleaned(variables: dict[str, str]) -> bool:
    """Take the launcher's folder off PYTHONPATH, so that no process of the doctor's is launched; whether it was there."""
    parts = variables.get("PYTHONPATH", "").split(os.pathsep)
    kept = [part for part in parts if not part.replace("\\", "/").rstrip("/").endswith(AUTO.replace(".", "/"))]
    if kept == parts:
        return False
    variables["PYTHONPATH"] = os.pathsep.join(kept)
    if not any(kept):
        del variables["PYTHONPATH"]
    return True


def _assign(rest: list[str], variables: dict[str, str]) -> list[str]:
    while rest and "=" in rest[0] and not rest[0].startswith("-"):
        name, _, value = rest.pop(0).partition("=")
        variables[name] = value
    if rest and rest[0].startswith("-"):
        raise Unreadable("options of env are not understood here")
    return rest


def _launcher_options(rest: list[str], variables: dict[str, str]) -> list[str]:
    """Do with the launcher's options what it does: each is a variable."""
    while rest and rest[0].startswith("--"):
        name, equals, value = rest.pop(0)[2:].partition("=")
        if not equals:
            value = rest.pop(0) if rest else ""
        short, long = f"OTEL_{name.upper()}", f"OTEL_PYTHON_{name.upper()}"
        variables[long if long in _python_variables() else short] = value
    return rest


def _python_variables() -> frozenset[str]:
    try:
        from opentelemetry.instrumentation import environment_variables
    except ImportError:
        return frozenset()
    return frozenset(name for name in dir(environment_variables) if name.startswith("OTEL_PYTHON_"))


def _which(word: str, variables: Mapping[str, str]) -> str:
    found = shutil.which(word, path=variables.get("PATH"))
    if found is None:
        raise Unreadable(f"there is no program {Path(word).name!r} on PATH")
    return found


def _interpreter(rest: list[str], variables: Mapping[str, str]) -> tuple[str, list[str], list[str]]:
    """The interpreter, its options, and the words that follow."""
    found = _which(rest[0], variables)
    if not _PYTHON.fullmatch(Path(rest[0]).name):
        return _shebang(found, variables), [], rest
    flags: list[str] = []
    rest = rest[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "-m", "-c"):
        flags.append(rest.pop(0))
        if flags[-1] in _WITH_VALUE and rest:
            flags.append(rest.pop(0))
    return found, flags, rest


def _shebang(program: str, variables: Mapping[str, str]) -> str:
    """The interpreter that runs an installed script such as gunicorn."""
    with open(program, "rb") as file:  # noqa: PTH123 -- a str from which()
        first = file.readline(_SHEBANG).decode(errors="replace")
    words = shlex.split(first[2:]) if first.startswith("#!") else []
    if words and Path(words[0]).name == "env":
        words = words[1:]
    if words and _PYTHON.fullmatch(Path(words[0]).name):
        return _which(words[0], variables)
    # what pip writes where the folder's name is too long for a #! line; and uwsgi, which is no script at all
    if (words and Path(words[0]).name == "sh") or Path(program).name in SERVERS:
        sibling = Path(program).with_name("python")
        if sibling.exists():
            return str(sibling)
    raise Unreadable(
        f"{Path(program).name} is no Python script; put the interpreter it uses in its place: python -m ..."
    )


def _with_program(started: Target, rest: list[str]) -> Target:
    """What the interpreter is told to run."""
    if not rest:
        return started
    first, arguments = rest[0], tuple(rest[1:])
    if first == "-c":
        return replace(started, program="-c", code=arguments[0] if arguments else "")
    if first == "-m" and arguments:
        name = arguments[0].partition(".")[0]
        return _served(replace(started, program=name, module=name, arguments=arguments[1:]))
    path = Path(first)
    if path.name in SERVERS:
        return _served(replace(started, program=path.name, arguments=arguments))
    return replace(started, script=path, program=path.name, arguments=arguments)


def _served(started: Target) -> Target:
    """The module that a server serves: `shop.wsgi:app`, or what stands after celery's -A."""
    if started.program not in SERVERS:
        return started
    words = started.arguments
    after = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-A", "--app", "--module", "-w")]
    name = next((word for word in [*words, *after] if _SERVED.fullmatch(word)), after[-1] if after else "")
    return replace(started, module=name.partition(":")[0].partition(".")[0])
