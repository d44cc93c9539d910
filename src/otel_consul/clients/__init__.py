"""The client libraries: where each one's calls pass and how one call reads, one file a library.

A file here holds one `CLIENT`. A new library is a new file; nothing else changes.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from otel_consul.seam import Client


def discover() -> tuple[Client, ...]:
    """Every `CLIENT` in this folder, by file name."""
    names = sorted(module.name for module in iter_modules(__path__))
    return tuple(import_module(f"{__name__}.{name}").CLIENT for name in names)
