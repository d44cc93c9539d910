"""Starts the target's interpreter as opentelemetry-instrument does, with `launched` in the program's place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from otel_consul.doctor.target import Target, auto_folder

_MODULE: Final = "otel_consul.doctor.launched"
_OTHER: Final = re.compile(r"Instrumenting of (\S+) failed")
_RAISED: Final = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Conflict))\b", re.MULTILINE)
_MOST: Final = 100_000


@dataclass(frozen=True)
class Launched:
    """What a launched process said."""

    answered: bool = False
    instrumented: bool = False
    has_sdk: bool = False
    exporters: tuple[str, ...] = ()
    ddtrace: bool = False
    green: str = ""
    instance: str = ""
    instance_in_child: str = "?"
    failed_other: str = ""
    """An instrumentation that made the launcher give up."""
    error: str = ""
    """The class of the exception that was logged last; its text may quote anything."""
    late: bool = False
    seconds: float = 0.0

    @property
    def exporters_text(self) -> str:
        """For a sentence."""
        return f"the exporters {', '.join(self.exporters)}" if self.exporters else "no exporter"

    @property
    def shares_instance(self) -> bool:
        """Whether a forked child calls itself by its parent's `service.instance.id`, or by none."""
        return (
            self.answered
            and self.has_sdk
            and self.instance_in_child != "?"
            and (self.instance == self.instance_in_child or not self.instance_in_child)
        )


class Launch:
    """A launched process: begun by making this, asked by `result`."""

    def __init__(self, target: Target) -> None:
        self._began = time.monotonic()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by _logged
        self._read, write = os.pipe()
        environ = dict(target.environ)
        folder = auto_folder()
        if folder is not None:
            path = environ.get("PYTHONPATH")
            environ["PYTHONPATH"] = f"{folder}{os.pathsep}{path}" if path else folder
        environ["OTEL_EXPORTER_PROMETHEUS_PORT"] = "0"  # the program's own may be taken, by the program
        command = [
            *((target.ddtrace,) if target.ddtrace else ()),
            target.interpreter,
            *target.flags,
            "-m",
            _MODULE,
            str(write),
        ]
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(write,),
            )
        except OSError:
            self._process = None
        finally:
            os.close(write)

    def result(self, within: float) -> Launched:
        """What it said. The process is ended after so many seconds."""
        if self._process is None:
            os.close(self._read)
            return Launched()
        late = False
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            late = True
            self._process.kill()
            self._process.wait()
        with os.fdopen(self._read, "rb") as pipe:
            os.set_blocking(pipe.fileno(), False)
            said = pipe.read(_MOST) or b""
        return _launched(said, self._logged(), late=late, seconds=time.monotonic() - self._began)

    def _logged(self) -> str:
        with self._errors as file:
            file.seek(0)
            return file.read(_MOST).decode(errors="replace")


def _launched(said: bytes, logged: str, *, late: bool, seconds: float) -> Launched:
    other, raised = _OTHER.search(logged), _RAISED.findall(logged)
    error = raised[-1].rpartition(".")[2] if raised else ""
    try:
        report: Mapping[str, Any] = json.loads(said)
    except ValueError:
        return Launched(late=late, seconds=seconds, error=error, failed_other=other[1] if other else "")
    return Launched(
        answered=True,
        instrumented=bool(report["instrumented"]),
        has_sdk=bool(report["has_sdk"]),
        exporters=tuple(report["exporters"]),
        ddtrace=bool(report["ddtrace"]),
        green=str(report["green"]),
        instance=str(report["instance"]),
        instance_in_child=str(report["instance_in_child"]),
        failed_other=other[1] if other else "",
        error=error,
        seconds=seconds,
    )
