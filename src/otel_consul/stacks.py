"""Who waits for a call, and where in the program: file, line and function, never source text or values.

What is noted while a call starts is a thread's number, a weak reference to a task, or the place of the calling line.
The stack itself is read only when somebody asks, from another thread if need be: of a thread its frames, of a task its
chain of awaits, which no running loop is needed for.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio import current_task
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias
from weakref import ref

from otel_consul.chains import SEAM, Frame, Link, of_thread, of_waiter
from otel_consul.os_threads import get_ident, running_greenlet

Waiter: TypeAlias = "int | Callable[[], Any]"
"""A thread's number, or a weak reference to a task or greenlet."""
Place: TypeAlias = tuple[CodeType, int]
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
_CLIENTS: Final = frozenset({"consul", "consulate"})
_DOORS: Final = "otel_consul.doors"
_AWAITED: Final = "_awaited"
_WAITING: Final = frozenset({"selectors", "asyncio.base_events", "asyncio.runners", "asyncio.windows_events"})

_known: dict[str, bool] = {}
_MOST_LOOPS: Final = 256
_loops: dict[int, Callable[[], Any]] = {}
"""By thread, a weak reference to the event loop that ran there last."""


# --- noted at the start of a call ---------------------------------------------------------------------------------


def thread() -> Waiter:
    """The running thread; under gevent and eventlet, the running greenlet."""
    greenlet = running_greenlet()
    return get_ident() if greenlet is None else ref(greenlet)


def task() -> Any:
    """The running asyncio task; None outside asyncio."""
    loop = _loops.get(get_ident(), nobody)()
    if loop is not None and (running := current_task(loop)) is not None:
        return running  # a loop that runs a task runs it in its own thread
    try:
        running = current_task()  # a system call, in Python 3.11
    except RuntimeError:  # some other library's event loop
        return None
    if running is not None and len(_loops) < _MOST_LOOPS:
        _loops[get_ident()] = ref(running.get_loop())
    return running


def nobody() -> None:
    """A waiter that is not there: the caller goes on and will look at a future, or cannot be found."""


def place() -> Place | None:
    """The innermost running line that is not a library's."""
    frame: FrameType | None = sys._getframe(1)
    known = _known
    while frame is not None:
        name: Any = frame.f_globals.get("__name__")
        library = known.get(name)
        if library is None:
            library = _is_library(name)
        if not library:
            return frame.f_code, frame.f_lasti
        frame = frame.f_back
    return None


def line(place: Place) -> Frame:
    """`place` as it reads in a stack."""
    code, position = place
    number = code.co_firstlineno
    for start, end, found in code.co_lines():
        if start <= position < end and found is not None:
            number = found
    return Frame(code.co_filename, number, code.co_name)


# --- read while a call is open ------------------------------------------------------------------------------------


def names() -> dict[int, str]:
    """Every thread's name."""
    return {one.ident: one.name for one in threading.enumerate() if one.ident is not None}


def name(waiter: Waiter, names: Mapping[int, str]) -> str | None:
    """The name of who waits, a thread or a task; None when that is not known."""
    if isinstance(waiter, int):
        return names.get(waiter, f"thread {waiter}")
    waiting = waiter()
    if waiting is None:
        return None
    get_name = getattr(waiting, "get_name", None)
    return str(get_name() if get_name is not None else getattr(waiting, "name", type(waiting).__name__))


def stack(waiter: Waiter, origin: Place | None, threads: Mapping[int, FrameType]) -> list[Frame]:
    """The lines that lead to the wait, outermost first; the last is the caller's own.

    `origin` is where the call was made, and all there is where nobody waits for it. Empty when nothing is known.
    """
    chain = of_thread(threads.get(waiter)) if isinstance(waiter, int) else of_waiter(waiter(), threads)
    chain = _callers(chain)
    if origin is not None and (not chain or _is_library(chain[-1][0])):
        return [line(origin)]
    return [frame for _, frame in chain]


def loop_is_busy_at(waiter: Waiter, threads: Mapping[int, FrameType]) -> list[Frame]:
    """What the event loop of a waiting task does in place of serving it, outermost first; empty if it is idle."""
    waiting = waiter() if callable(waiter) else None
    if not isinstance(waiting, asyncio.Task):
        return []
    chain = of_thread(threads.get(getattr(waiting.get_loop(), "_thread_id", None) or 0))
    if not chain or chain[-1][0] in _WAITING:
        return []
    return [frame for _, frame in chain]


def _callers(chain: list[Link]) -> list[Link]:
    """The program's own part of `chain`, outermost first: the last is the line that made the call."""
    end = len(chain)
    for index in range(len(chain) - 1, -1, -1):
        module, frame = chain[index]
        if module == SEAM or (module == _DOORS and frame.function == _AWAITED):
            end = index  # all that is further in is the transport, a user's own too
            break
    chain = [link for link in chain[:end] if link[0].partition(".")[0] not in _CLIENTS]
    end = len(chain)
    while end and _is_library(chain[end - 1][0]):
        end -= 1
    start = 0
    while start < end and _is_library(chain[start][0]):
        start += 1
    return chain[start:end] or chain[-1:]  # a library alone calls: a thread pool, a callback


def _is_library(module: Any) -> bool:
    library = str(module).partition(".")[0] in _LIBRARIES
    if len(_known) < 1000:  # noqa: PLR2004 -- modules made on the fly must not fill the memory
        _known[module] = library
    return library
