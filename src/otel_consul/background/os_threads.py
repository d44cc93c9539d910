"""Threads and locks of the operating system, whatever a library has put in the place of Python's own.

gevent and eventlet replace `threading` and `_thread` by green threads, which run only while their hub does. What waits in
one of those for a lock of the operating system keeps the hub from running, and the whole program stands still. So this
package takes the functions that are compiled into the interpreter, whether they were replaced before it was imported or
are later, and starts no thread where there are none.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec, module_from_spec
from types import BuiltinFunctionType
from typing import Any, Final

_NAMES: Final = ("allocate_lock", "get_ident", "start_new_thread")
_SCHEDULERS: Final = ("gevent.monkey", "eventlet.patcher")


class NoThreadError(RuntimeError):
    """There is no way to start a thread of the operating system here."""


def _originals() -> Any:
    """The module `_thread`, or where its functions have been replaced, a copy of it as it comes with the interpreter."""
    if all(type(getattr(_thread, name)) is BuiltinFunctionType for name in _NAMES):
        return _thread
    spec = find_spec("_thread")
    if spec is None or spec.loader is None:
        return _thread
    copy = module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


_module: Final = _originals()
allocate_lock: Final[Callable[[], _thread.LockType]] = _module.allocate_lock
"""Makes a lock that threads wait for, and greenlets do not give way for."""
get_ident: Final[Callable[[], int]] = _module.get_ident
"""The number of the running thread; that of the hub's, in a greenlet."""
get_native_id: Final[Callable[[], int | None]] = getattr(_module, "get_native_id", lambda: None)
"""The kernel's number of the running thread; None where that is not known."""
_start_new_thread: Final[Callable[..., int]] = _module.start_new_thread


def start(work: Callable[[], None], name: str) -> Callable[[float], None]:
    """Run `work` on a daemon thread; the function given waits at most that many seconds for its end.

    RuntimeError where no more threads are to be had, NoThreadError where there are green ones only.
    """
    begin = getattr(threading, "_start_joinable_thread", None) or getattr(threading, "_start_new_thread", None)
    if type(begin) is not BuiltinFunctionType:  # threading.Thread would be a greenlet
        return start_bare(work)
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return partial(_join, thread)


def start_bare(work: Callable[[], None]) -> Callable[[float], None]:
    """As `start`, without a name and without any lock of `threading`: fit for a signal handler."""
    if type(_start_new_thread) is not BuiltinFunctionType:
        raise NoThreadError("the functions that start threads have been replaced")
    ended = allocate_lock()
    ended.acquire()

    def run() -> None:
        try:
            work()
        finally:
            ended.release()

    ident = _start_new_thread(run, ())

    def wait(seconds: float) -> None:
        if get_ident() != ident and ended.acquire(timeout=seconds):
            ended.release()

    return wait


def _join(thread: threading.Thread, seconds: float) -> None:
    if thread.ident != get_ident():
        thread.join(seconds)


def is_own(starter: int) -> bool:
    """Whether the running code, started by thread `starter`, has a thread to itself, in which it may wait."""
    return get_ident() != starter and _greenlet() is None


def cooperative(module: str) -> bool:
    """Whether gevent or eventlet has replaced the standard library's `module` (`socket`, `thread`)."""
    for name in _SCHEDULERS:
        scheduler: Any = sys.modules.get(name)
        if scheduler is not None:
            ask = getattr(scheduler, "is_module_patched", None) or getattr(scheduler, "is_monkey_patched", None)
            if ask is not None and any(ask(one) for one in _PATCHED_AS.get(module, (module,))):
                return True
    return False


_PATCHED_AS: Final = {"thread": ("threading", "_thread", "thread")}
"""What the schedulers call them."""


def running_greenlet() -> Any:
    """The greenlet that stands for a thread here; None where greenlets are not used as threads."""
    if "greenlet" not in sys.modules or not cooperative("thread"):
        return None
    return sys.modules["greenlet"].getcurrent()


def _greenlet() -> Any:
    """The running greenlet, unless that is the thread itself."""
    greenlet = sys.modules.get("greenlet")
    current = None if greenlet is None else greenlet.getcurrent()
    return None if current is None or current.parent is None else current
