"""A signal handler that only takes what nobody else wants."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from otel_consul import guard

_taken: Final[set[int]] = set()
"""The signals that are handled here."""
_masks: Final[dict[int, set[Any]]] = {}
"""What each thread had blocked before it began to fork."""


class SignalHandler:
    """Runs `act` on a signal that has its default handling, as long as nobody else comes to handle it."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self.number = number
        self._act = act
        self._installed = False

    def install(self) -> bool:
        """Take the signal if it has its default handling and this is the main thread; whether it was taken."""
        with suppress(ValueError, OSError):  # another thread, a subinterpreter, or a signal nobody can handle
            if signal.getsignal(self.number) is signal.SIG_DFL:
                signal.signal(self.number, self._handle)
                self._installed = True
                _taken.add(self.number)
        return self._installed

    def remove(self) -> None:
        """Give the signal back, unless somebody else has taken it meanwhile."""
        self._installed = False
        _taken.discard(self.number)
        self._restore()

    def _restore(self) -> None:
        with suppress(ValueError, OSError):  # another thread: the handler stays, and does what the default does
            if signal.getsignal(self.number) == self._handle:
                signal.signal(self.number, signal.SIG_DFL)

    def _handle(self, number: int, frame: object) -> None:
        if signal.getsignal(self.number) != self._handle:
            return  # somebody took the signal and passes it on: what becomes of it is theirs to say
        if not self._installed:
            self._restore()
            os.kill(os.getpid(), number)
            return
        try:
            self._act()
        except Exception:  # noqa: BLE001
            guard.fault("handling a signal")


# Python drops the signals that a child gets before it has come to itself, if they have a handler in Python. So they
# wait in the kernel meanwhile: `Process.terminate` right after `Process.start` must go on ending the child.


def _forking() -> None:
    if _taken:
        _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _taken)


def _forked() -> None:
    mask = _masks.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_forking, after_in_child=_forked, after_in_parent=_forked)
