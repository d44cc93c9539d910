"""A signal handler that only takes what nobody else wants."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from otel_consul import guard
from otel_consul.background.os_threads import get_ident

_taken: Final[set[int]] = set()
"""The signals that are handled here."""
_RAISING: Final = frozenset({"kill", "killpg", "raise_signal", "pthread_kill"})
_masks: Final[dict[int, set[Any]]] = {}
"""What each thread had blocked before it began to fork."""


class SignalHandler:
    """Runs `act` on a signal that has its default handling, as long as nobody else comes to handle it.

    Others find this object with `signal.getsignal`, keep it, and pass the signal on to it or put it back, where they
    would have found `SIG_DFL`. Not to be found at all is no way out: what is put back must still work, for servers that
    end by raising the signal anew (uvicorn). So it passes for `SIG_DFL` where it can: it equals it and is as false.
    What it cannot be is not callable. Called by another handler, it does nothing, as `if callable(before):` would have
    done nothing, unless that handler names `SIG_DFL` and raises signals itself: then it does what the default does.
    """

    def __init__(self, number: int, act: Callable[[], None], *, ends: bool = False) -> None:
        self.number = number
        self._act = act
        self._ends = ends
        """Whether `act` ends the process as the default handling does."""
        self._installed = False

    def __eq__(self, other: object) -> bool:
        return self is other or other is signal.SIG_DFL

    __hash__ = object.__hash__  # not that of SIG_DFL: `signal` would take it for that, and lose it

    def __bool__(self) -> bool:
        return bool(signal.SIG_DFL)

    def install(self) -> bool:
        """Take the signal if it has its default handling and this is the main thread; whether it was taken."""
        with suppress(ValueError, OSError):  # another thread, a subinterpreter, or a signal nobody can handle
            if signal.getsignal(self.number) is signal.SIG_DFL:
                signal.signal(self.number, self)
                self._installed = True
                _taken.add(self.number)
        return self._installed

    def remove(self) -> None:
        """Give the signal back, unless somebody else has taken it meanwhile."""
        self._installed = False
        _taken.discard(self.number)
        self._restore()

    def _restore(self) -> None:
        number = self.number
        with suppress(ValueError, OSError):  # another thread: the handler stays, and does what the default does
            if signal.getsignal(number) is self:
                signal.signal(number, signal.SIG_DFL)

    def __call__(self, number: int, frame: object) -> None:
        """The signal has come, or another handler passes it on."""
        passed_on = signal.getsignal(self.number) is not self
        if passed_on and not _does_the_default(sys._getframe(1)):
            return  # what becomes of the signal is that handler's to say
        if not self._installed or (passed_on and not self._ends):
            signal.signal(self.number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        try:
            self._act()
        except Exception:  # noqa: BLE001
            guard.fault("handling a signal")


def _does_the_default(handler: FrameType) -> bool:
    """Whether `handler` is one that restores the default handling and raises the signal anew, if that was in force."""
    names = handler.f_code.co_names
    return "SIG_DFL" in names and not _RAISING.isdisjoint(names)


# Python drops the signals that a child gets before it has come to itself, if they have a handler in Python. So they
# wait in the kernel meanwhile: `Process.terminate` right after `Process.start` must go on ending the child.


def _forking() -> None:
    if _taken:
        _masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _taken)


def _forked() -> None:
    mask = _masks.pop(get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


if hasattr(os, "register_at_fork") and hasattr(signal, "pthread_sigmask"):
    os.register_at_fork(before=_forking, after_in_child=_forked, after_in_parent=_forked)
