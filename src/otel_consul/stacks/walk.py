"""Walks the frames of a thread, the awaits of a task across nested coroutines, the frames of a greenlet: outermost first."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Mapping
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final, NamedTuple, TypeAlias

from otel_consul.redact import encodable
from otel_consul.stacks import frames

SEAM: Final = "otel_consul.clients.seam"
"""The module every call passes on its way to the transport."""
DEEPEST_TASKS: Final = 20
"""Tasks and futures awaiting one another that are looked at."""


class Frame(NamedTuple):
    """One line of a stack."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}"


def frame_at(code: CodeType, line: int) -> Frame:
    """A line of `code`, as it can be exported."""
    return Frame(encodable(code.co_filename), line, encodable(code.co_name))


Link: TypeAlias = tuple[str, Frame]
"""The module a frame is of, and its line."""


def of_waiter(waiting: Any, threads: Mapping[int, FrameType]) -> list[Link]:
    """The chain of a task or greenlet; empty for None and whatever else, and where looking is not safe."""
    if not frames.hold_still():
        return []
    if isinstance(waiting, asyncio.Future):
        chain = [link for task in _tasks(waiting) for link in _awaits(task.get_coro())]
        return chain[-frames.DEEPEST :]
    if not hasattr(waiting, "gr_frame"):
        return []
    if suspended := frames.of_greenlet(waiting):
        return _links(suspended)
    # the greenlet runs: it is in whichever thread is in the middle of a call
    for innermost in threads.values():
        chain = of_thread(innermost)
        if any(module == SEAM for module, _ in chain):
            return chain
    return []


def of_thread(frame: FrameType | None) -> list[Link]:
    """A thread's stack, outermost first, from its innermost `frame`."""
    return [] if frame is None or not frames.hold_still() else _links(frames.stack(frame))


def _tasks(innermost: asyncio.Future[Any]) -> list[Any]:
    """The tasks that await one another, down to `innermost`, as far up as each is awaited by one alone.

    Python tells from 3.14 on; futures of `gather` and the like are passed by.
    """
    chain, seen = [], 0
    future: Any = innermost
    while future is not None and seen < DEEPEST_TASKS:
        seen += 1
        if hasattr(future, "get_coro"):
            chain.append(future)
        waiting = getattr(future, "_asyncio_awaited_by", None) or ()
        future = next(iter(waiting)) if len(waiting) == 1 else None
    return chain[::-1]


def _awaits(awaited: Any) -> Iterator[Link]:
    """The coroutines that wait for one another, outermost first."""
    for _ in range(frames.DEEPEST):
        line, inner = frames.of_coroutine(awaited) or (None, _wrapped(awaited))
        if line is not None:
            yield _link(*line)
        if inner is None:
            return
        awaited = inner


def _wrapped(awaited: Any) -> Any:
    """The coroutine or generator inside an awaitable that does not show it, such as an async generator's `asend`."""
    if awaited is None or isinstance(awaited, asyncio.Future):
        return None
    for inside in gc.get_referents(awaited):
        if isinstance(inside, (CoroutineType, GeneratorType, AsyncGeneratorType)):
            return inside
    return None


def _links(lines: list[frames.Line]) -> list[Link]:
    return [_link(*line) for line in reversed(lines)]


def _link(variables: dict[str, Any], code: CodeType, line: int | None) -> Link:
    return str(variables.get("__name__")), frame_at(code, line or code.co_firstlineno)
