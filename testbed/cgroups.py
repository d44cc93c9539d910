"""Control groups with a CPU limit, made for real: root and a writable hierarchy are needed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 0.1


class CannotLimitError(RuntimeError):
    """No control group can be made here."""


class Group:
    """One that exists. `enter` puts a whole process into it."""

    def __init__(self, folder: Path, version: int) -> None:
        self.folder = folder
        self._version = version

    def enter(self, pid: int | None = None) -> None:
        """Put the process, with all its threads, under the limit."""
        (self.folder / "cgroup.procs").write_text(str(pid or os.getpid()))

    def leave(self, pid: int | None = None) -> None:
        """Put it under the parent again."""
        (self.folder.parent / "cgroup.procs").write_text(str(pid or os.getpid()))

    def throttled(self) -> float:
        """Seconds that the limit has cost."""
        field, unit = ("throttled_time", 1e-9) if self._version == 1 else ("throttled_usec", 1e-6)
        lines = (self.folder / "cpu.stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field + " ")) * unit


@contextmanager
def limited(share: float) -> Iterator[Group]:
    """A group that may use `share` of one processor: 0.15 is 15 ms in each 100. CannotLimitError with the reason."""
    name = f"otel-consul-{uuid.uuid4().hex[:8]}"
    quota, period = round(share * _PERIOD * 1e6), round(_PERIOD * 1e6)
    try:
        if (_ROOT / "cpu" / "cgroup.procs").exists():
            folder, version = _ROOT / "cpu" / name, 1
            folder.mkdir()
            (folder / "cpu.cfs_period_us").write_text(str(period))
            (folder / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            with suppress(OSError):
                (_ROOT / "cgroup.subtree_control").write_text("+cpu")
            folder, version = _ROOT / name, 2
            folder.mkdir()
            (folder / "cpu.max").write_text(f"{quota} {period}")
    except OSError as error:
        raise CannotLimitError(f"no control group can be made here: {error}") from error
    try:
        yield Group(folder, version)
    finally:
        with suppress(OSError):
            for pid in (folder / "cgroup.procs").read_text().split():
                (folder.parent / "cgroup.procs").write_text(pid)
            folder.rmdir()


def cannot() -> str:
    """Why no group can be made here; empty if one can."""
    try:
        with limited(1.0):
            return ""
    except CannotLimitError as error:
        return str(error)
