"""Whose cancellation was it? asyncio tells a coroutine that it is cancelled, not why.

`asyncio.timeout` and `asyncio.wait_for` cancel the task they guard when their time is up; only they know. So the
plugin notes on entry which `asyncio.Timeout` objects enclose a call (they are public, and say `expired`), and, when one
expires, what its task was waiting for: tasks that were there before. On Python 3.10 and 3.11, where `wait_for` is made
differently, it notes what `wait_for` gave up on. What that proves:

* `deadline`: an enclosing `asyncio.timeout`, or `wait_for`, had expired and was cancelling.
* `caller`: on Python 3.11 and later, none had. Somebody called `Task.cancel()`.
* `unknown`: everything else. Python 3.10, where `async_timeout` and others cannot be seen; anyio's cancel scopes, which
  cancel for deadlines and on request alike; and whatever is no task of asyncio's: futures, Deferreds, greenlets.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import weakref
from contextvars import ContextVar
from typing import Any, Final

from otel_consul import guard
from otel_consul.semconv import CancelReason

_CLOSING: Final = {
    "_cancel_all_tasks": ("asyncio.runners", "uvloop", "anyio._backends._asyncio"),
    "_cancel_tasks": ("aiohttp.web",),
}
"""The functions that cancel what is left when an event loop ends, and their modules."""
_DEEPEST: Final = 50
"""How far to follow tasks that wait for one another."""
_TASK_GROUP: Final = getattr(asyncio, "TaskGroup", None)
_RELEASE_WAITER: Final = getattr(asyncio.tasks, "_release_waiter", asyncio)
_ANYIO_MESSAGES: Final = ("Cancelled by cancel scope", "Cancelled via cancel scope")


class FutureCancelledError(asyncio.CancelledError):
    """Stands for the cancellation of `future`, which tells its callbacks of none."""

    def __init__(self, future: Any) -> None:
        super().__init__()
        self.future = future


class _Scope:
    """One entered `asyncio.timeout` block. Child tasks inherit it, so it must not keep the parent's task alive."""

    __slots__ = ("active", "outer", "task", "timeout")

    def __init__(self, timeout: Any, outer: _Scope | None) -> None:
        self.timeout = weakref.ref(timeout)
        self.task: Any = asyncio.current_task()
        if self.task is not None:
            self.task = weakref.ref(self.task)
        self.outer = outer
        self.active = True

    def cancels(self, task: Any) -> bool:
        """Whether `task` is cancelled when the time is up: the one that entered waits for it, or is it."""
        entered = self.task and self.task()
        for _ in range(_DEEPEST):
            if task is entered:
                return True
            task = _waiting_for(task)
            if task is None:
                break
        return False


_SCOPE: Final[ContextVar[_Scope | None]] = ContextVar("otel_consul_deadline", default=None)
_given_up: weakref.WeakSet[Any] = weakref.WeakSet()
_originals: dict[tuple[Any, str], tuple[Any, Any]] = {}


def apply() -> None:
    """Start noting deadlines. Once is enough; calling it again does nothing."""
    if _originals:
        return
    timeout_class = getattr(asyncio, "Timeout", None)
    if timeout_class is not None:
        _replace(timeout_class, "__aenter__", _entering(timeout_class.__aenter__))
        _replace(timeout_class, "__aexit__", _leaving(timeout_class.__aexit__))
        if hasattr(timeout_class, "_on_timeout"):
            _replace(timeout_class, "_on_timeout", _expiring(timeout_class._on_timeout))
    given_up = getattr(asyncio.tasks, "_cancel_and_wait", None)
    if given_up is not None and sys.version_info[:2] < (3, 12):
        # frozen in 3.10 and 3.11; from 3.12 wait_for is made of asyncio.timeout
        _replace(asyncio.tasks, "_cancel_and_wait", _giving_up(given_up))


def remove() -> None:
    """Undo `apply`, except where somebody else has put a wrapper on top."""
    for (owner, name), (original, ours) in _originals.items():
        if vars(owner).get(name) is ours:
            setattr(owner, name, original)
    _originals.clear()
    _given_up.clear()


def reason(exc: BaseException) -> str:
    """Why a call got `exc`, some cancellation, in the running task if there is one: a value of `consul.cancel.reason`."""
    if isinstance(exc, FutureCancelledError):
        return CancelReason.DEADLINE if exc.future in _given_up else CancelReason.UNKNOWN
    task = _running_task()
    if task is None or not isinstance(exc, asyncio.CancelledError):
        return CancelReason.UNKNOWN
    if _expired(task):
        return CancelReason.DEADLINE
    if not hasattr(asyncio, "Timeout") or (exc.args and str(exc.args[0]).startswith(_ANYIO_MESSAGES)):
        return CancelReason.UNKNOWN
    return CancelReason.CALLER


def loop_is_closing() -> bool:
    """Whether `asyncio.run` or its like is cancelling what is left: the running code is below that function of its."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name in _CLOSING and frame.f_globals.get("__name__") in _CLOSING[frame.f_code.co_name]:
            return True
        frame = frame.f_back
    return False


def remaining() -> float | None:
    """Seconds until an `asyncio.timeout` cancels the running task, or one that waits for it; None if none will."""
    nearest: float | None = None
    task: Any = None
    scope = _SCOPE.get()
    while scope is not None:
        timeout = scope.timeout() if scope.active else None
        when = timeout.when() if timeout is not None else None
        if when is not None and (nearest is None or when < nearest):
            task = task or _running_task()
            if scope.cancels(task):
                nearest = when
        scope = scope.outer
    return None if nearest is None else max(0.0, nearest - asyncio.get_running_loop().time())


def _running_task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no running loop
        return None


def _expired(task: Any) -> bool:
    scope = _SCOPE.get()
    while scope is not None:
        timeout = scope.timeout() if scope.active else None
        if timeout is not None and timeout.expired():
            return True
        scope = scope.outer
    if task in _given_up:
        _given_up.discard(task)  # who survives a deadline may be cancelled for another reason later
        return True
    for _ in range(_DEEPEST):
        group = _group_of(task)
        if group is None or getattr(group, "_parent_cancel_requested", True):  # cancelled for a sibling's failure
            return False
        task = group._parent_task
        if task in _given_up:
            return True
    return False


def _group_of(task: Any) -> Any:
    """The `asyncio.TaskGroup` that `task` was made by, if any: it cancels its tasks when its parent is cancelled."""
    if _TASK_GROUP is None:
        return None
    callbacks: Any = getattr(task, "_callbacks", None) or ()
    return next((owner for owner in map(_owner_of, callbacks) if isinstance(owner, _TASK_GROUP)), None)


def _owner_of(callback: Any) -> Any:
    return getattr(callback[0], "__self__", None)


def _waiting_for(future: Any) -> Any:
    """Who is cancelled with `future` by being cancelled: a task that awaits it, its group's parent, gather's future."""
    for callback, *_ in getattr(future, "_callbacks", None) or ():
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, asyncio.Task):
            return owner
        if _TASK_GROUP is not None and isinstance(owner, _TASK_GROUP):
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
        while future is not None and future not in _given_up:
            _given_up.add(future)
            for child in getattr(future, "_children", ()):  # of asyncio.gather
                _give_up_on(child)
            future = getattr(future, "_fut_waiter", None)
    except Exception:  # noqa: BLE001
        guard.fault("noting a deadline")


def _replace(owner: Any, name: str, ours: Any) -> None:
    _originals[owner, name] = (vars(owner)[name], ours)
    setattr(owner, name, ours)


def _entering(original: Any) -> Any:
    def __aenter__(self: Any) -> Any:  # noqa: N807
        _SCOPE.set(_Scope(self, _SCOPE.get()))
        return original(self)

    return __aenter__


def _leaving(original: Any) -> Any:
    def __aexit__(self: Any, *exc_info: Any) -> Any:  # noqa: N807
        scope = _SCOPE.get()
        if scope is not None and scope.timeout() is self:
            scope.active = False
            _SCOPE.set(scope.outer)
        return original(self, *exc_info)

    return __aexit__


def _expiring(original: Any) -> Any:
    def _on_timeout(self: Any) -> Any:
        _give_up_on(getattr(self._task, "_fut_waiter", None))
        return original(self)

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
