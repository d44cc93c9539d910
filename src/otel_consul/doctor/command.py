"""`otel-consul doctor [--send] [--json] [--timeout SECONDS] [-- COMMAND ...]`."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from otel_consul.doctor import target as targets
from otel_consul.doctor.display import as_json, as_text
from otel_consul.doctor.examination import examine, leave
from otel_consul.doctor.finding import Finding, arriving, blocked
from otel_consul.doctor.target import Target, Unreadable

_INSIDE: Final = "--inside"
_USAGE: Final = 2
_LONGEST: Final = 3600.0
_MISSING: Final = re.compile(r"No module named '?([\w.]+)")
_DESCRIPTION: Final = (
    "Why do I see nothing? Examines the environment of COMMAND, or of this process as opentelemetry-instrument would start it. "
    "COMMAND itself is not run. Exit status: 0 if a call to Consul would be seen, 1 if not, 2 for a command that cannot be read."
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    options = _parser().parse_args(words)
    try:
        target = targets.read(command)
    except Unreadable as exc:
        _say(
            [blocked("command.unreadable", f"That command cannot be examined: {exc}.")], Target(), as_json_=options.json
        )
        sys.exit(_USAGE)
    if not options.inside and _elsewhere(target):
        sys.exit(_inside(target, words, command, as_json_=options.json))
    found = examine(target, sending=options.send, timeout=options.timeout)
    _say(found, target, as_json_=options.json)
    leave(0 if arriving(found) else 1)
    raise AssertionError  # leave() does not return


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="otel-consul", description="Tools of otel-consul.")
    parser.set_defaults(inside=False)
    doctor = parser.add_subparsers(dest="command", required=True).add_parser(
        "doctor", help="why do I see nothing?", description=_DESCRIPTION, usage="%(prog)s [options] [-- COMMAND ...]"
    )
    doctor.add_argument(
        "--send", action="store_true", help="send the span and metrics of the trial call to the endpoint"
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.add_argument("--timeout", type=_seconds, default=1.0, metavar="SECONDS", help="for each connection (1)")
    doctor.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < _LONGEST:
        raise ValueError(text)
    return value


def _elsewhere(target: Target) -> bool:
    """Whether the environment to examine is not this process's."""
    own, other = Path(sys.executable), Path(target.interpreter)
    same = own == other or (own.parent == other.parent and own.resolve() == other.resolve())
    return not same or dict(target.environ) != dict(os.environ)


def _inside(target: Target, words: Sequence[str], command: Sequence[str], *, as_json_: bool) -> int:
    """Run the doctor with the interpreter and the environment of the command."""
    tail = ["--", *command] if command else []
    if target.launcher == "environment" and not command:
        tail = ["--", "env", f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}", target.interpreter]
    done = subprocess.run(
        [target.interpreter, "-m", "otel_consul", *words, _INSIDE, *tail],
        env=dict(target.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.stdout:
        sys.stdout.write(done.stdout)
        return done.returncode
    _say([_not_there(target, done.stderr)], target, as_json_=as_json_)
    return 1


def _not_there(target: Target, said: str) -> Finding:
    if "No module named otel_consul.__main__" in said:
        return blocked(
            "plugin.too_old",
            f"The otel-consul that is installed for {target.interpreter} has no doctor yet. Update it.",
        )
    missing = _MISSING.search(said)
    if missing is not None and missing[1] != "otel_consul":
        return blocked(
            "plugin.incomplete",
            f"otel-consul does not start with {target.interpreter}: there is no module {missing[1]}. Install it with what it "
            f"needs: {target.interpreter} -m pip install 'otel-consul[otlp]'.",
        )
    if missing is not None:
        return blocked(
            "plugin.not_installed",
            f"otel-consul is not installed for {target.interpreter}, which runs the program. Install it there: "
            f"{target.interpreter} -m pip install 'otel-consul[otlp]'.",
        )
    return blocked("doctor.failed", f"{target.interpreter} -m otel_consul does not start.")


def _say(found: Sequence[Finding], target: Target, *, as_json_: bool) -> None:
    environ = {**os.environ, **target.environ}
    status = 0 if arriving(found) else 1
    sys.stdout.write(as_json(found, environ, status) if as_json_ else as_text(found, environ))
    sys.stdout.flush()
