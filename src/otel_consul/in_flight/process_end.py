"""Ends the calls that are open when the process ends as `abandoned`, while their spans can still be exported.

The SDK shuts down in an exit hook of its own, and hooks run in the opposite order of their registration. A provider
may be made after the plugin is switched on, so the plugin's hook is registered anew when the first span is recorded, and
whenever calls start after a pause: then it is later than that of the providers in use, and runs before.

SIGTERM with its default handling ends a process with no exit hooks at all. Where nobody else handles it, the plugin
does: open calls end, providers shut down as their own exit hooks would have it, and the signal strikes again, with its
default handling and so the same status.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from otel_consul import guard
from otel_consul.background import forks
from otel_consul.background.clock import monotonic
from otel_consul.background.os_threads import start_bare
from otel_consul.in_flight.dropped import Dropped
from otel_consul.in_flight.os_signals import SignalHandler
from otel_consul.in_flight.registry import Registry

BATCH: Final = 500
"""Calls to end between two flushes: a quarter of what the SDK's queue holds."""
DEFAULT_PATIENCE: Final = 10.0
"""Seconds to wait for exporters: OTLP's own time-out."""
_HELD: Final = 2.0
"""Seconds the main thread is held in the signal handler. It may hold a lock that ending a call needs, so it must go on."""


class ProcessEnd:
    """Sees to the open calls of `registry` when the process ends. `providers` gives what to flush then."""

    def __init__(self, registry: Registry, dropped: Dropped, providers: Callable[[], Iterable[Any]]) -> None:
        self._registry = registry
        self._dropped = dropped
        self._providers = providers
        self._sigterm = SignalHandler(signal.SIGTERM, self._terminated, ends=True)
        self._pid = os.getpid()
        """The process the calls were made in: a forked child has a handler before it has calls."""

    def arm(self) -> None:
        """Be prepared for the end from now on."""
        self.come_first()
        if os.getpid() != 1:  # the first process of a container does not die of a default SIGTERM
            self._sigterm.install()

    def disarm(self) -> None:
        """Undo `arm`."""
        atexit.unregister(self._exiting)
        self._sigterm.remove()

    def come_first(self) -> None:
        """Be the first of the exit hooks registered so far to run. Calls start in this process."""
        self._pid = os.getpid()
        atexit.unregister(self._exiting)
        atexit.register(self._exiting)

    def abandon_all(self) -> None:
        """End every open call as abandoned. Blocks only for a flush, where there are very many; never raises."""
        forks.notice()
        self._dropped.end_all()
        calls = self._registry.snapshot()
        flushing = True
        for number, call in enumerate(calls, 1):
            call.abandon()
            if number % BATCH == 0 and flushing and number < len(calls):
                flushing = flush(self._providers(), patience())

    def _exiting(self) -> None:
        self.abandon_all()

    def _terminated(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second SIGTERM ends the process at once
        if os.getpid() != self._pid:
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            start_bare(self._die)(_HELD)
        except RuntimeError:  # the interpreter is ending: no more threads to be had
            self._die()

    def _die(self) -> None:
        try:
            self.abandon_all()
            flush(self._providers(), patience(), last=True)
        except Exception:  # noqa: BLE001
            guard.fault("ending the open calls")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


def patience() -> float:
    """Seconds exporters are given: their own time-out, as the environment says it."""
    try:
        return max(0.0, float(os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", "")))
    except ValueError:
        return DEFAULT_PATIENCE


def flush(providers: Iterable[Any], seconds: float, *, last: bool = False) -> bool:
    """Have all `providers` export what they hold, at the same time; whether they were done within `seconds`.

    `last`: they shut down, so that exporters do what they do only then; `consul_report` prints.
    """
    end = monotonic() + seconds
    waits = []
    for provider in providers:
        names: tuple[str, ...] = ("force_flush",)
        if last:  # flushed first: a shutdown in the middle of an export may lose what waits. Metrics go out once.
            names = ("shutdown",) if hasattr(provider, "get_meter") else ("force_flush", "shutdown")
        acts = [getattr(provider, name) for name in names if hasattr(provider, name)]
        if not acts:  # no SDK
            continue
        work = partial(_flush, acts)
        try:
            waits.append(start_bare(work))
        except RuntimeError:  # the interpreter is ending: no more threads to be had
            work()
    for wait in waits:
        wait(max(0.0, end - monotonic()))
    return monotonic() < end


def _flush(acts: Iterable[Callable[[], Any]]) -> None:
    for act in acts:
        try:
            act()
        except Exception:  # noqa: BLE001
            guard.fault("flushing a provider")
