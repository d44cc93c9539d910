"""The client libraries: where each one's calls pass and how one call reads, one file a library.

`seam` is the place they all pass. Every other file holds one `CLIENT`: a new library is a new file, and nothing else
changes.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from otel_consul.clients.client import Client


def discover() -> tuple[Client, ...]:
    """Every `CLIENT` in this folder, by file name."""
    names = sorted(module.name for module in iter_modules(__path__))
    modules = (import_module(f"{__name__}.{name}") for name in names)
    return tuple(module.CLIENT for module in modules if hasattr(module, "CLIENT"))
