"""Who waits for a call, and the stack of the waiting code.

What is noted while a call starts is a thread's number or a weak reference to a task.
The stack itself is read only when somebody asks, from another thread if need be: of a thread its frames, of a task its
chain of awaits, which no running loop is needed for.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio import current_task
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final, TypeAlias
from weakref import ref

from otel_consul.background.os_threads import get_ident, running_greenlet
from otel_consul.stacks import call_site
from otel_consul.stacks.call_site import CallSite, is_library
from otel_consul.stacks.walk import SEAM, Frame, Link, of_thread, of_waiter

Waiter: TypeAlias = "int | Callable[[], Any]"
"""A thread's number, or a weak reference to a task or greenlet."""
_CLIENTS: Final = frozenset({"consul", "consulate"})
_DEFERRED: Final = "otel_consul.call.deferred"
_AWAITED: Final = "_awaited"
_WAITING: Final = frozenset({"selectors", "asyncio.base_events", "asyncio.runners", "asyncio.windows_events"})

_REMEMBERS: Final = sys.version_info < (3, 12)
"""Whether asking for the running loop is a system call, and asking a known loop for its task is not.

From 3.14 on the latter stops every thread where the loop does not run."""
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
    if _REMEMBERS:
        ident = get_ident()
        loop = _loops.get(ident, nobody)()
        # It may have moved to another thread, and run a task there.
        if loop is not None and loop._thread_id == ident and (running := current_task(loop)) is not None:
            return running
    try:
        running = current_task()
    except RuntimeError:  # some other library's event loop
        return None
    if _REMEMBERS and running is not None and len(_loops) < _MOST_LOOPS:
        loop = running.get_loop()
        if hasattr(loop, "_thread_id"):  # not uvloop's
            _loops[ident] = ref(loop)
    return running


def nobody() -> None:
    """A waiter that is not there: the caller goes on and will look at a future, or cannot be found."""


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


def stack(waiter: Waiter, origin: CallSite | None, threads: Mapping[int, FrameType]) -> list[Frame]:
    """The lines that lead to the wait, outermost first; the last is the caller's own.

    `origin` is where the call was made, and all there is where nobody waits for it. Empty when nothing is known.
    """
    chain = of_thread(threads.get(waiter)) if isinstance(waiter, int) else of_waiter(waiter(), threads)
    chain = _callers(chain)
    if origin is not None and (not chain or is_library(chain[-1][0])):
        return [call_site.line(origin)]
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
        if module == SEAM or (module == _DEFERRED and frame.function == _AWAITED):
            end = index  # all that is further in is the transport, a user's own too
            break
    chain = [link for link in chain[:end] if link[0].partition(".")[0] not in _CLIENTS]
    end = len(chain)
    while end and is_library(chain[end - 1][0]):
        end -= 1
    start = 0
    while start < end and is_library(chain[start][0]):
        start += 1
    return chain[start:end] or chain[-1:]  # a library alone calls: a thread pool, a callback
