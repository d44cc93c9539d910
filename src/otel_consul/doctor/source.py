"""What the text of a program says of itself. It is read, not run; what its libraries do stays unknown."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from otel_consul.doctor.target import Target

_MOST_FILES: Final = 300
_MOST_BYTES: Final = 1_000_000
_SKIPPED: Final = frozenset({"site-packages", "node_modules", "__pycache__", "tests"})
_NETWORK: Final = frozenset({"aiohttp", "consul", "consulate", "grpc", "httpx", "requests", "ssl", "urllib3"})
"""Whose sockets and locks keep what was there before a patch."""
_INSTRUMENTS: Final = re.compile(rb"ConsulInstrumentor|otel_consul")
_OTLP_HTTP: Final = b"otlp.proto.http"
_OTLP_GRPC: Final = b"otlp.proto.grpc"
_FORKS: Final = re.compile(rb"\bos\.fork\(|\bmultiprocessing\b|ProcessPoolExecutor")
_DDTRACE: Final = re.compile(rb"^\s*(import|from) ddtrace\b", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """What was read."""

    found: bool = False
    """Whether there was anything to read."""
    instruments: bool = False
    """Whether it names the plugin."""
    exports_http: bool = False
    exports_grpc: bool = False
    forks: bool = False
    ddtrace: bool = False
    patch: str = ""
    """`gevent` or `eventlet`, if the script patches."""
    patch_line: int = 0
    early: str = ""
    """What the script imports before it patches, though it should not."""


def read(target: Target) -> Source:
    """Read what is run, and for what may stand in another module, the files beside it."""
    path = target.script if target.script is not None else _file(target.module)
    own = target.code.encode() if target.code else _bytes(path) if path is not None else None
    if own is None:
        return Source()
    beside = _beside(path) if path is not None else ()
    texts = [own, *(text for other in beside if (text := _bytes(other)) is not None)]
    patch, line, early = _patch(own)
    return Source(
        found=True,
        instruments=any(_INSTRUMENTS.search(text) for text in texts),
        exports_http=any(_OTLP_HTTP in text for text in texts),
        exports_grpc=any(_OTLP_GRPC in text for text in texts),
        forks=bool(_FORKS.search(own)),
        ddtrace=bool(_DDTRACE.search(own)),
        patch=patch,
        patch_line=line,
        early=early,
    )


def _file(module: str) -> Path | None:
    """The file of a top-level module, which is not imported."""
    try:
        spec = find_spec(module) if module else None
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.has_location or spec.origin is None or "site-packages" in spec.origin:
        return None
    return Path(spec.origin)


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return None


def _beside(script: Path) -> Iterator[Path]:
    """The other Python files of the script's folder and of the packages in it."""
    seen = 0
    folders = [script.parent]
    while folders and seen < _MOST_FILES:
        try:
            entries = sorted(folders.pop(0).iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.suffix == ".py" and entry != script:
                seen += 1
                yield entry
            elif (entry / "__init__.py").is_file() and entry.name not in _SKIPPED:
                folders.append(entry)
            if seen >= _MOST_FILES:
                return


def _patch(text: bytes) -> tuple[str, int, str]:
    """Which library patches in this script, on which line, and what was imported too early."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return "", 0, ""
    library, line = "", 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found = {"patch_all": "gevent", "monkey_patch": "eventlet"}.get(name.rpartition(".")[2], "")
            if found and (not line or node.lineno < line):
                library, line = found, node.lineno
    if not library:
        return "", 0, ""
    before = sorted((number, name) for number, name in _imports(tree) if number < line)
    return library, line, next((name for _, name in before if name in _NETWORK), "")


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module.partition(".")[0]
