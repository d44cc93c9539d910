"""Which deadlines of asyncio's enclose the running code, and what those that expired gave up on.

`asyncio.timeout`, `async_timeout.timeout` and `asyncio.wait_for` cancel what they guard when their time is up; only they
know. So the plugin notes on entry which of their objects enclose a call (they are public, and say whether they have
expired), and, when one expires, what its task was waiting for: tasks that were there before. On Python 3.10 and 3.11,
where `wait_for` is made differently, it notes what `wait_for` gave up on.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

import wrapt

from otel_consul import guard

DEEPEST: Final = 50
"""How far to follow tasks that wait for one another."""
TASK_GROUP: Final = getattr(asyncio, "TaskGroup", None)
_RELEASE_WAITER: Final = getattr(asyncio.tasks, "_release_waiter", asyncio)
_OTHERS: Final = "async_timeout"


class EnclosingTimeout:
    """One entered `asyncio.timeout` block. Child tasks inherit it, so it must not keep the parent's task alive."""

    __slots__ = ("active", "outer", "task", "timeout")

    def __init__(self, timeout: Any, outer: EnclosingTimeout | None) -> None:
        self.timeout: Callable[[], Any]
        try:
            self.timeout = weakref.ref(timeout)
        except TypeError:  # async_timeout's have slots, and none for that; once left, they keep nothing
            self.timeout = lambda: timeout
        self.task: Any = asyncio.current_task()
        if self.task is not None:
            self.task = weakref.ref(self.task)
        self.outer = outer
        self.active = True

    @property
    def expired(self) -> bool:
        """Whether it is cancelling its task, or has."""
        timeout = self.timeout() if self.active else None
        return timeout is not None and self._expired(timeout)

    @property
    def when(self) -> float | None:
        """When it will, in the loop's time; None if never."""
        timeout = self.timeout() if self.active else None
        return None if timeout is None else self._when(timeout)

    def _expired(self, timeout: Any) -> bool:
        return bool(timeout.expired())

    def _when(self, timeout: Any) -> float | None:
        when: float | None = timeout.when()
        return when

    def cancels(self, task: Any) -> bool:
        """Whether `task` is cancelled when the time is up: the one that entered waits for it, or is it."""
        entered = self.task and self.task()
        for _ in range(DEEPEST):
            if task is entered:
                return True
            task = _waiting_for(task)
            if task is None:
                break
        return False


class _OthersTimeout(EnclosingTimeout):
    """One of `async_timeout`, 4 and 5, where that is not asyncio's own."""

    __slots__ = ()

    def _expired(self, timeout: Any) -> bool:
        return bool(timeout.expired)

    def _when(self, timeout: Any) -> float | None:
        when: float | None = timeout.deadline
        return when


_INNERMOST: Final[ContextVar[EnclosingTimeout | None]] = ContextVar("otel_consul_deadline", default=None)
given_up: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
"""Tasks and futures that are cancelled for a deadline."""
_originals: dict[tuple[Any, str], tuple[Any, Any]] = {}


def apply() -> None:
    """Start noting deadlines. Once is enough; calling it again does nothing."""
    if _originals:
        return
    timeout_class = getattr(asyncio, "Timeout", None)
    if timeout_class is not None:
        _watch(timeout_class, EnclosingTimeout)
    cancel_and_wait = getattr(asyncio.tasks, "_cancel_and_wait", None)
    if cancel_and_wait is not None and sys.version_info[:2] < (3, 12):
        # frozen in 3.10 and 3.11; from 3.12 wait_for is made of asyncio.timeout
        _replace(asyncio.tasks, "_cancel_and_wait", _giving_up(cancel_and_wait))
    if _OTHERS in sys.modules:
        _watch_others(sys.modules[_OTHERS])
    else:
        _expect_others()


def remove() -> None:
    """Undo `apply`, except where somebody else has put a wrapper on top."""
    for (owner, name), (original, ours) in _originals.items():
        if vars(owner).get(name) is ours:
            setattr(owner, name, original)
    _originals.clear()
    given_up.clear()


innermost: Final = _INNERMOST.get
"""() -> the block entered last around the running code, None if there is none."""


def enclosing() -> Iterator[EnclosingTimeout]:
    """The blocks entered around the running code, innermost first."""
    block = innermost()
    while block is not None:
        yield block
        block = block.outer


def _watch(timeout_class: Any, kind: type[EnclosingTimeout]) -> None:
    _replace(timeout_class, "__aenter__", _entering(timeout_class.__aenter__, kind))
    _replace(timeout_class, "__aexit__", _leaving(timeout_class.__aexit__))
    if hasattr(timeout_class, "_on_timeout"):
        _replace(timeout_class, "_on_timeout", _expiring(timeout_class._on_timeout))


@cache  # a hook cannot be taken back: one is enough
def _expect_others() -> None:
    wrapt.register_post_import_hook(_watch_others, _OTHERS)


def _watch_others(module: Any) -> None:
    """Called by the hook, perhaps after `remove`."""
    timeout_class = getattr(module, "Timeout", None)
    usable = all(hasattr(timeout_class, name) for name in ("__aenter__", "__aexit__", "expired", "deadline"))
    if _originals and usable and timeout_class is not getattr(asyncio, "Timeout", None):
        _watch(timeout_class, _OthersTimeout)


def _waiting_for(future: Any) -> Any:
    """Who is cancelled with `future` by being cancelled: a task that awaits it, its group's parent, gather's future."""
    for callback, *_ in getattr(future, "_callbacks", None) or ():
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, asyncio.Task):
            return owner
        if TASK_GROUP is not None and isinstance(owner, TASK_GROUP):
            return owner._parent_task
        if getattr(callback, "func", None) is _RELEASE_WAITER:  # wait_for, before Python 3.12
            return callback.args[0]
        if getattr(callback, "__qualname__", "") == "gather.<locals>._done_callback":
            cells = dict(zip(callback.__code__.co_freevars, callback.__closure__))  # noqa: B905 -- of one length
            return cells["outer"].cell_contents
    return None


def _give_up_on(future: Any) -> None:
    """Note that `future` is cancelled for a deadline, and so is what it waits for."""
    try:
        while future is not None and future not in given_up:
            given_up.add(future)
            for child in getattr(future, "_children", ()):  # of asyncio.gather
                _give_up_on(child)
            future = getattr(future, "_fut_waiter", None)
    except Exception:  # noqa: BLE001
        guard.fault("noting a deadline")


def _replace(owner: Any, name: str, ours: Any) -> None:
    _originals[owner, name] = (vars(owner)[name], ours)
    setattr(owner, name, ours)


def _entering(original: Any, kind: type[EnclosingTimeout]) -> Any:
    def __aenter__(self: Any) -> Any:  # noqa: N807
        try:
            _INNERMOST.set(kind(self, _INNERMOST.get()))
        except Exception:  # noqa: BLE001
            guard.fault("noting a deadline")
        return original(self)

    return __aenter__


def _leaving(original: Any) -> Any:
    def __aexit__(self: Any, *exc_info: Any) -> Any:  # noqa: N807
        block = _INNERMOST.get()
        if block is not None and block.timeout() is self:
            block.active = False
            _INNERMOST.set(block.outer)
        return original(self, *exc_info)

    return __aexit__


def _expiring(original: Any) -> Any:
    def _on_timeout(self: Any, *args: Any) -> Any:
        _give_up_on(getattr(self._task if not args else args[0], "_fut_waiter", None))
        return original(self, *args)

    return _on_timeout


def _giving_up(original: Any) -> Any:
    def _cancel_and_wait(fut: Any, *args: Any, **kwargs: Any) -> Any:
        # wait_for comes here for both reasons; when its own caller cancelled it, it has just caught that exception
        exc = sys.exc_info()[1]
        caught_at = exc.__traceback__ if isinstance(exc, asyncio.CancelledError) else None
        if caught_at is None or caught_at.tb_frame is not sys._getframe(1):
            _give_up_on(fut)
        return original(fut, *args, **kwargs)

    return _cancel_and_wait
