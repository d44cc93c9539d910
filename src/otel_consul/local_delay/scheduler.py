"""For how long a thread was ready to run and did not, and what kept it from a processor: the kernel knows.

Linux keeps, for each thread, how long it has been ready without running (`/proc/self/task/<tid>/schedstat`, the second
number). A thread that waits for the interpreter's lock is not ready; so what is late and was ready was kept out by
other processes, or by the CPU limit of its control group (`cpu.stat`). Elsewhere neither is known and the answer is None.

Nothing here is read on the way of a healthy call: see `probe`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_NANO: Final = 1e-9
_MICRO: Final = 1e-6
_MOUNT_FIELDS: Final = 10
_FILE: Final = "/proc/self/task/{}/schedstat"
AVAILABLE: Final = sys.platform == "linux" and Path("/proc/self/schedstat").exists()
"""Whether the kernel tells."""


def run_delay(native: int | None) -> float | None:
    """Seconds for which the thread (the kernel's number of it) has been ready without running; None if not known."""
    if native is None or not AVAILABLE:
        return None
    try:
        file = _files.get(native) or _opened(native)
        return int(os.pread(file[0], 64, 0).split()[1]) * _NANO
    except (OSError, ValueError, IndexError, OverflowError):
        # Another system, a sandbox, the thread has ended; or the program has closed what it did not open.
        _close(native)
        return None


_files: Final[dict[int, tuple[int, int, int]]] = {}
"""By thread: an open file, its device and its number there. Reading it costs a tenth of opening it."""
_MOST_FILES: Final = 16


def _opened(native: int) -> tuple[int, int, int]:
    for other in list(_files)[: len(_files) - _MOST_FILES + 1]:
        _close(other)
    file = os.open(_FILE.format(native), os.O_RDONLY | os.O_CLOEXEC)
    there = os.fstat(file)
    return _files.setdefault(native, (file, there.st_dev, there.st_ino))


def _close(native: int) -> None:
    found = _files.pop(native, None)
    if found is None:
        return
    file, device, number = found
    with suppress(OSError):
        there = os.fstat(file)
        if (there.st_dev, there.st_ino) == (device, number):  # else it is somebody else's by now
            os.close(file)


def close() -> None:
    """Keep no file open: nobody asks any more, or this is a forked child, whose threads are others."""
    for native in list(_files):
        _close(native)


class _Group(NamedTuple):
    """A control group that has a CPU limit."""

    stat: str
    field: bytes
    unit: float


class CpuLimit:
    """The CPU limits that this process runs under: those of its control group and of the groups above, as far as seen."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._groups: tuple[_Group, ...] | None = None
        self.find()

    def find(self) -> bool:
        """Look again: a process may be moved to another group, and a group may get a limit. Whether they are others now."""
        before = self._groups
        try:
            self._groups = tuple(list(self._find()))  # noqa: C414 -- not half a tuple: who looks at all objects could hold it
        except (OSError, ValueError, IndexError):
            self._groups = None
        return self._groups != before

    def throttled(self) -> float | None:
        """Seconds for which the groups' processes have been kept from running by a limit; 0 without one, None if not known.

        On several processors they add up: it can grow faster than time goes by.
        """
        if self._groups is None:
            return None
        seconds = 0.0
        for stat, field, unit in self._groups:
            try:
                with open(stat, "rb", buffering=0) as file:  # noqa: PTH123
                    lines = file.read(4096).splitlines()
                seconds += next(int(line.split()[1]) for line in lines if line.startswith(field)) * unit
            except (OSError, ValueError, IndexError, StopIteration):
                return None
        return seconds

    def _find(self) -> Iterator[_Group]:
        paths = dict(self._paths())
        seen = False
        for root, point, version in self._mounts():
            path = paths.get(version)
            if path is None:
                continue
            seen = True
            folder = Path(point)
            # A container may see its own group as the whole hierarchy, under the name it has outside.
            inside = path.removeprefix(root.rstrip("/")) if path.startswith(root.rstrip("/") + "/") else ""
            group = folder / inside.strip("/") if ".." not in path else folder
            for each in (group, *group.parents):
                found = _limited(each, version)
                if found is not None:
                    yield found
                if each == folder:
                    break
        if not seen:
            raise ValueError("no hierarchy of control groups is mounted here")

    def _paths(self) -> Iterator[tuple[int, str]]:
        """The process's group in each hierarchy that can limit processor time, by the hierarchy's version."""
        for line in Path(self._proc, "self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if "cpu" in controllers.split(","):
                yield 1, path
            elif number == "0" and not controllers:
                yield 2, path

    def _mounts(self) -> Iterator[tuple[str, str, int]]:
        """(the group at its root, where it is mounted, version) of the same hierarchies."""
        for line in Path(self._proc, "self/mountinfo").read_text().splitlines():
            fields = line.split()
            if len(fields) < _MOUNT_FIELDS or "-" not in fields:
                continue
            dash = fields.index("-")
            kind, options = fields[dash + 1], fields[dash + 3].split(",")
            point = fields[4].encode().decode("unicode_escape")
            if kind == "cgroup" and "cpu" in options:
                yield fields[3], point, 1
            elif kind == "cgroup2":
                yield fields[3], point, 2


def _limited(folder: Path, version: int) -> _Group | None:
    with suppress(OSError, ValueError):
        if version == 1 and int((folder / "cpu.cfs_quota_us").read_text()) > 0:
            return _Group(str(folder / "cpu.stat"), b"throttled_time ", _NANO)
        if version == 2 and not (folder / "cpu.max").read_text().startswith("max"):  # noqa: PLR2004 -- of the hierarchy
            return _Group(str(folder / "cpu.stat"), b"throttled_usec ", _MICRO)
    return None
