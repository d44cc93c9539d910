"""Programs from Debian packages, without installing anything: `python -m testbed.debian consul` prints a path.

Uses the machine's own package archive and keys, but lists, caches and files of its own.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_FOLDER = Path("/etc/apt")
SECONDS = 300.0
"""How long one step of apt may take."""


class Unavailable(Exception):
    """The program cannot be had on this machine; `reason` says why, in one line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Program:
    package: str
    suite: str
    path: str
    """In the package."""


PROGRAMS = {
    # The last Debian release with a Consul.
    "consul": Program("consul", "bullseye", "usr/bin/consul"),
    "prometheus": Program("prometheus", "sid", "usr/bin/prometheus"),
    "promtool": Program("promtool", "sid", "usr/bin/promtool"),
    "victoria-metrics": Program("victoria-metrics", "sid", "usr/bin/victoria-metrics"),
}


def cache_folder() -> Path:
    """Where what was fetched stays."""
    if own := os.environ.get("OTEL_CONSUL_TEST_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-consul"


def program(name: str, cache: Path | None = None) -> Path:
    """The path of a program of PROGRAMS, fetched if need be. Unavailable when it cannot be had."""
    wanted = PROGRAMS[name]
    path = fetch(wanted.package, wanted.suite, cache) / wanted.path
    if not path.is_file():
        raise Unavailable(f"Debian's {wanted.package} of {wanted.suite} has no {wanted.path}")
    return path


def fetch(
    package: str,
    suite: str,
    cache: Path | None = None,
    *,
    needs: tuple[str, ...] | None = None,
    prepare: Callable[[Path, Path], None] | None = None,
) -> Path:
    """The folder a package's files were unpacked to; quick when it is there already.

    With `needs` all that it depends on is unpacked there too, the C library included, and these packages besides.
    `prepare` is called once with the files and the folder where they will stand, before they stand there. Several processes may ask at once: one fetches, the others wait for it. Unavailable when there is no apt, no
    network, no such package, or OTEL_CONSUL_NO_FETCH is set.
    """
    cache = cache or cache_folder()
    target = cache / f"{suite}-{package}"
    if target.is_dir():  # it appears by a rename, so whole
        return target
    if os.environ.get("OTEL_CONSUL_NO_FETCH"):
        raise Unavailable(f"{package} is not in {cache}, and OTEL_CONSUL_NO_FETCH forbids fetching it")
    if missing := [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]:
        raise Unavailable(f"this machine has no {missing[0]} to fetch {package} with")
    if not KEYRING.is_file():
        raise Unavailable(f"this machine has no {KEYRING} to check {package} with")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / ".lock"):
            if not target.is_dir():
                with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as work:
                    files = _download(package, suite, Path(work), needs)
                    if prepare is not None:
                        prepare(files, target)
                    files.rename(target)
    except OSError as error:
        raise Unavailable(f"cannot write to {cache}: {error}") from error
    return target


def _download(package: str, suite: str, work: Path, needs: tuple[str, ...] | None) -> Path:
    for folder in ("lists/partial", "cache/archives/partial", "deb", "files"):
        (work / folder).mkdir(parents=True)
    nothing = work / "status"
    nothing.touch()
    sources = work / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {archive()} {suite} main\n")
    options = {
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "APT::Sandbox::User": "root",  # no change of user: the folders are ours alone
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "APT::Update::Error-Mode": "any",  # a list that cannot be had is an error, not a warning
        "Acquire::Check-Valid-Until": "false",  # an old suite is signed once and for all
    }
    if needs is not None:
        options["Dir::State::status"] = nothing  # as if nothing were installed: so all it depends on is fetched
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    run([*apt, "update"], work)
    if needs is None:
        run([*apt, "download", package], work / "deb")
    else:
        run([*apt, "-y", "--no-install-recommends", "--download-only", "install", *needs, package], work)
    for deb in [*work.glob("deb/*.deb"), *work.glob("cache/archives/*.deb")]:
        run(["dpkg", "-x", str(deb), str(work / "files")], work)
    (work / "files").chmod(0o755)
    return work / "files"


def archive() -> str:
    """The URI this machine gets Debian's packages from. Unavailable when its sources name none."""
    form = "$(LABEL) $(REPO_URI)"
    try:
        lines = run(["apt-get", "indextargets", "--format", form], Path("/")).splitlines()
    except Unavailable:
        lines = []
    # Nothing is listed before the first `apt-get update`: then read what it would read.
    uris = [line.split()[1] for line in lines if line.startswith("Debian ")] or _uris_in_sources()
    if not uris:
        raise Unavailable("this machine's package sources name no Debian archive")
    return uris[0]


def _uris_in_sources() -> list[str]:
    files = [APT_FOLDER / "sources.list", *sorted((APT_FOLDER / "sources.list.d").glob("*"))]
    text = "\n".join(file.read_text() for file in files if file.is_file())
    lines = [line for line in text.splitlines() if re.match(r"deb\s|URIs:", line)]
    uris = [uri for line in lines for uri in re.findall(r"\b[a-z+]+://\S+", line)]
    return [uri for uri in uris if uri.rstrip("/").endswith("/debian")]


def run(command: list[str], folder: Path) -> str:
    """What the command prints. Unavailable when it fails."""
    environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} {command[-1]} did not end within {SECONDS:.0f} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr.strip()]
        raise Unavailable(f"{command[0]} failed: {' '.join(lines)[:500]}")
    return done.stdout


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file is closed, also by a crash
        yield


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m testbed.debian", description=__doc__)
    parser.add_argument("program", choices=PROGRAMS)
    try:
        print(program(parser.parse_args().program))
    except Unavailable as error:
        print(error.reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
