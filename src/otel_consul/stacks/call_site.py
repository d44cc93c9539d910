"""Where in the program a call was made: the innermost line that is not a library's."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias

from otel_consul.stacks.walk import Frame, frame_at

CallSite: TypeAlias = tuple[CodeType, int]
"""A line of the program, as cheap to note as can be: a code object and the position in it."""

_LIBRARIES: Final = frozenset(
    [
        "_thread",
        "aiohttp",
        "aiosignal",
        "asyncio",
        "asyncio_uvloop",
        "concurrent",
        "consul",
        "consulate",
        "contextlib",
        "eventlet",
        "gevent",
        "greenlet",
        "http",
        "httpx",
        "opentelemetry",
        "otel_consul",
        "requests",
        "socket",
        "ssl",
        "threading",
        "tornado",
        "treq",
        "twisted",
        "urllib3",
        "uvloop",
        "wrapt",
    ]
)
"""Top-level modules whose frames between the caller and the wait say nothing about the program."""
_MOST: Final = 1000
"""Modules remembered: those made on the fly must not fill the memory."""
_known: Final[dict[str, bool]] = {}


def find() -> CallSite | None:
    """The call site of the code that runs now; None if there are libraries only."""
    frame: FrameType | None = sys._getframe(1)
    known = _known
    while frame is not None:
        name: Any = frame.f_globals.get("__name__")
        library = known.get(name)
        if library is None:
            library = is_library(name)
        if not library:
            return frame.f_code, frame.f_lasti
        frame = frame.f_back
    return None


def line(site: CallSite) -> Frame:
    """`site` as it reads in a stack."""
    code, position = site
    number = code.co_firstlineno
    for start, end, found in code.co_lines():
        if start <= position < end and found is not None:
            number = found
    return frame_at(code, number)


def is_library(module: Any) -> bool:
    """Whether frames of `module` say nothing about the program."""
    library = str(module).partition(".")[0] in _LIBRARIES
    if len(_known) < _MOST:
        _known[module] = library
    return library
