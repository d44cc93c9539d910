"""Who cancelled a call: a deadline or its caller. asyncio tells a coroutine that it is cancelled, not why.

What `timeouts` has noted proves:

* `deadline`: an enclosing `asyncio.timeout` or `async_timeout.timeout`, or `wait_for`, had expired and was cancelling.
* `caller`: on Python 3.11 and later, none had. Somebody called `Task.cancel()`.
* `unknown`: everything else. Python 3.10, where there are deadlines that cannot be seen; anyio's cancel scopes, which
  cancel for deadlines and on request alike; and whatever is no task of asyncio's: futures, Deferreds, greenlets.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Final

from otel_consul.deadlines import timeouts
from otel_consul.semconv import CancelReason

_CLOSING: Final = {
    "_cancel_all_tasks": ("asyncio.runners", "uvloop", "anyio._backends._asyncio"),
    "_cancel_tasks": ("aiohttp.web",),
}
"""The functions that cancel what is left when an event loop ends, and their modules."""
_ANYIO_MESSAGES: Final = ("Cancelled by cancel scope", "Cancelled via cancel scope")


class FutureCancelledError(asyncio.CancelledError):
    """Stands for the cancellation of `future`, which tells its callbacks of none."""

    def __init__(self, future: Any) -> None:
        super().__init__()
        self.future = future


def reason(exc: BaseException) -> str:
    """Why a call got `exc`, some cancellation, in the running task if there is one: a value of `consul.cancel.reason`."""
    if isinstance(exc, FutureCancelledError):
        return CancelReason.DEADLINE if exc.future in timeouts.given_up else CancelReason.UNKNOWN
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
    """Seconds until a deadline around it cancels the running task, or one that waits for it; None if none will."""
    if timeouts.innermost() is None:
        return None
    nearest: float | None = None
    task: Any = None
    for block in timeouts.enclosing():
        when = block.when
        if when is not None and (nearest is None or when < nearest):
            task = task or _running_task()
            if block.cancels(task):
                nearest = when
    return None if nearest is None else max(0.0, nearest - asyncio.get_running_loop().time())


def _running_task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no running loop
        return None


def _expired(task: Any) -> bool:
    if any(block.expired for block in timeouts.enclosing()):
        return True
    if task in timeouts.given_up:
        timeouts.given_up.discard(task)  # who survives a deadline may be cancelled for another reason later
        return True
    for _ in range(timeouts.DEEPEST):
        group = _group_of(task)
        if group is None or getattr(group, "_parent_cancel_requested", True):  # cancelled for a sibling's failure
            return False
        task = group._parent_task
        if task in timeouts.given_up:
            return True
    return False


def _group_of(task: Any) -> Any:
    """The `asyncio.TaskGroup` that `task` was made by, if any: it cancels its tasks when its parent is cancelled."""
    if timeouts.TASK_GROUP is None:
        return None
    callbacks: Any = getattr(task, "_callbacks", None) or ()
    return next((owner for owner in map(_owner_of, callbacks) if isinstance(owner, timeouts.TASK_GROUP)), None)


def _owner_of(callback: Any) -> Any:
    return getattr(callback[0], "__self__", None)
