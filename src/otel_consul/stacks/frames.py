"""Frames of threads and coroutines that go on running, looked at so that it cannot hurt them.

CPython 3.11 makes a frame object when somebody asks for it, and up to 3.11 making an object may start a garbage
collection right there. Its finalizers let other threads run. Then the frame that was to be wrapped may be gone, and the
process with it; or threads that start and end stand still for good, for `sys._current_frames` holds the lock they need
(python/cpython#106883). So the collector is off for as long as one look takes.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import accumulate, chain, islice, repeat
from operator import attrgetter, methodcaller
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final, TypeAlias, TypeVar, cast

from otel_consul.background.forks import Generation
from otel_consul.background.os_threads import get_ident

_T = TypeVar("_T")
Line: TypeAlias = "tuple[dict[str, Any], CodeType, int | None]"
"""Where a frame is: its module's variables, its code, and the line; None for code without lines."""

DEEPEST: Final = 200
"""Frames of a stack that are looked at, from the innermost."""

_COLLECTS_MEANWHILE: Final = sys.version_info < (3, 12)
_NAMES: Final = {
    CoroutineType: ("cr_frame", "cr_await"),
    GeneratorType: ("gi_frame", "gi_yieldfrom"),
    AsyncGeneratorType: ("ag_frame", "ag_await"),
}
_line: Final[Callable[[FrameType], Line]] = attrgetter("f_globals", "f_code", "f_lineno")
_call: Final = methodcaller("__call__")
hold_still: Final[Callable[[], bool]] = getattr(sys, "_is_gil_enabled", lambda: True)
"""Whether other threads stand still while this one looks, as the GIL makes them. Reading their frames crashes else."""


def of_threads() -> Mapping[int, FrameType]:
    """The innermost frame of every thread. Let go of it soon: frames keep what their functions work with.

    Of the running thread alone in a child of a fork that Python was not told of: it would look at stacks that are gone.
    """
    if Generation.untold:
        return {get_ident(): sys._getframe()}
    return _undisturbed(getattr(sys, "_current_frames", dict))


def stack(frame: FrameType) -> list[Line]:
    """The lines of `frame` and those that called it, innermost first, as they are at one moment."""
    return _undisturbed(_walk(frame))


def of_greenlet(greenlet: Any) -> list[Line]:
    """As `stack`, of a greenlet that does not run; empty if it runs, or is over."""
    return _undisturbed(_walk(greenlet, "gr_frame"))


def of_coroutine(awaited: Any) -> tuple[Line | None, Any] | None:
    """The line a coroutine or generator is at, if it has not ended, and what it waits for; None for whatever else."""
    names = _NAMES.get(type(awaited))
    if names is None:
        if not hasattr(awaited, "cr_frame"):
            return None
        frame, inner = awaited.cr_frame, awaited.cr_await  # Cython's, whose frame objects last
    else:
        frame, inner = _undisturbed(partial(getattr, awaited, names[0])), getattr(awaited, names[1])
    return None if frame is None else _line(frame), inner


def _walk(start: Any, *attributes: str) -> Callable[[], list[Line]]:
    """Reads the lines of the frames that `attributes` and then `f_back` lead to, from `start` on, in C alone.

    The owner must not run meanwhile: frames it has left lead nowhere, those of a greenlet into a stack that is not its.
    """
    found = accumulate(chain([start, *attributes], repeat("f_back")), getattr)
    frames = islice(iter(found.__next__, None), len(attributes), len(attributes) + DEEPEST)
    return partial(list, map(_line, frames))


def _undisturbed(look: Callable[[], _T]) -> _T:
    """What `look`, a function written in C, returns, with the garbage collector off; afterwards it is as it was.

    All steps are made by C (`iter` ends at the sentinel), where no other thread gets its turn in between: none sees the
    collector off, or switches it on too early.
    """
    if not _COLLECTS_MEANWHILE:
        return look()
    while True:
        try:
            if seen := list(iter(map(_call, (gc.isenabled, gc.disable, look, gc.enable)).__next__, False)):
                return cast("_T", seen[2])
        except BaseException:
            gc.enable()
            raise
        if seen := list(iter(map(_call, (gc.isenabled, look)).__next__, True)):
            return cast("_T", seen[1])
