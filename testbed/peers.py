"""The clients' own test suites, from their source distributions, with the plugin and without it: `python -m testbed.peers`.

Only py-consul's distributions have tests. They want Consul in Docker: here a real agent of this machine takes its place, and
where there is none everything that needs one fails, with the plugin and without it alike. What counts is that each test
ends as it does without the plugin. Sources and environments stay in the cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from xml.etree import ElementTree as ET

from testbed.debian import cache_folder

ROOT = Path(__file__).parents[1]
PEERS = ("py-consul==1.8.0", "py-consul==1.3.0")
"""Those in between leave files out that their tests import."""
NEEDS = ("pytest<9", "pytest-asyncio", "pytest-rerunfailures", "requests", "aiohttp", "packaging", "opentelemetry-sdk")
SECONDS = 600.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m testbed.peers", description=__doc__)
    parser.add_argument("peers", nargs="*", default=PEERS, help="distributions with their versions")
    different = [line for peer in parser.parse_args().peers for line in compare(peer)]
    print("\n".join(["", *different]) if different else "\nEvery test ends as it does without the plugin.")
    return int(bool(different))


def compare(peer: str) -> list[str]:
    """The tests that end otherwise with the plugin."""
    folder = cache_folder() / "peers" / peer.replace("==", "-")
    source, python = sources(peer, folder), environment(peer, folder)
    plain, observed = results(source, python, on=False), results(source, python, on=True)
    counts = {end: list(plain.values()).count(end) for end in sorted(set(plain.values()))}
    print(f"{peer}: {len(plain)} tests without the plugin, {counts}", flush=True)
    if not plain:
        return [f"{peer}: its suite did not run"]
    if plain != observed:  # a test may end otherwise each time
        again = results(source, python, on=False)
        plain = {test: end for test, end in plain.items() if again.get(test) == end}
        observed = {test: end for test, end in observed.items() if test in plain}
    return [
        f"{peer}: {test} is {observed.get(test)} with the plugin, {plain.get(test)} without"
        for test in sorted({*plain, *observed})
        if plain.get(test) != observed.get(test)
    ]


def sources(peer: str, folder: Path) -> Path:
    """The folder of its source distribution, unpacked."""
    target = folder / "source"
    if not target.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", peer]
            subprocess.run([*command, "--dest", work], check=True)
            (archive,) = Path(work).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(work, filter="data")
            (unpacked,) = (path for path in Path(work).iterdir() if path.is_dir())
            unpacked.rename(target)
    return target


def environment(peer: str, folder: Path) -> Path:
    """An interpreter that has it, what its tests need, and the plugin."""
    python = folder / "venv" / "bin" / "python"
    if not (folder / "venv" / ".ready").exists():
        venv.create(folder / "venv", with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", peer, *NEEDS, "-e", str(ROOT)], check=True)
        (folder / "venv" / ".ready").touch()
    return python


def results(source: Path, python: Path, *, on: bool) -> dict[str, str]:
    """How each test ended, by its name."""
    with tempfile.TemporaryDirectory() as work:
        copy = Path(shutil.copytree(source, Path(work) / "suite"))
        report = Path(work) / "report.xml"
        options = [
            "-q",
            "-c",
            os.devnull,
            "--rootdir",
            str(copy),
            "-p",
            "testbed.peers_plugin",
            "-o",
            "asyncio_mode=auto",
        ]
        options += ["-p", "no:cacheprovider", f"--junitxml={report}"]
        environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{copy}", "PEERS_PLUGIN": "1" if on else ""}
        command = [str(python), "-m", "pytest", *options, "tests"]
        done = subprocess.run(
            command, cwd=copy, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if not report.exists():
            print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
            return {}
        return {
            f"{case.get('classname')}::{case.get('name')}": _end(case) for case in ET.parse(report).iter("testcase")
        }


def _end(case: ET.Element) -> str:
    return next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")


if __name__ == "__main__":
    sys.exit(main())
