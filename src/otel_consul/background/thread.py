"""The one thread of this package: it runs small jobs while calls are open and costs nothing while none is.

It starts with the first call. While it is awake a call costs it no more than setting a flag; only a thread that has
fallen asleep, because no job had anything to do for a while, must be woken. Asleep, it waits for a lock without a
time-out: an idle process has no wake-ups.

It is a daemon and a thread of the operating system, under gevent and eventlet too (see `os_threads`): it works on when an
event loop or a hub is blocked for good, and never holds up the exit of the interpreter. In a forked child it starts anew with the first call.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final, TypeAlias

from otel_consul import guard
from otel_consul.background import forks, os_threads
from otel_consul.background.clock import perf_counter

Job: TypeAlias = Callable[[float], "float | None"]
"""Gets the time (`perf_counter` seconds); gives the seconds until it wants to run again, None: at the next call."""

LINGER: Final = 1.0
"""Seconds without a call after which the thread falls asleep. A wake-up costs a call over 10 µs."""
_JOIN: Final = 0.2
"""Seconds `stop` waits for the thread: it may be inside an exporter that hangs."""


class Background:
    """Runs jobs on a thread of its own, from the first `nudge` until `stop`.

    A job that gave None runs again within `linger` seconds of the next `nudge`, or at once if the thread was asleep.
    What jobs raise is reported once and swallowed.
    """

    due: float
    """When the thread means to wake up, `perf_counter` seconds; infinite if it waits for a nudge."""
    woke: float
    """When it did, last."""

    rousing: Callable[[], None] | None = None
    """Called in the caller's way before the thread is woken or started."""

    def __init__(self, linger: float = LINGER) -> None:
        self._linger = linger
        self._jobs: tuple[_Entry, ...] = ()
        self._stopped = False
        self._reset()
        forks.follow(self)

    def _reset(self) -> None:
        """No thread runs."""
        self.asleep = True
        """Whether a call must `rouse` the thread."""
        self.nudged = False
        """Whether a call has started since the thread last looked."""
        self.due = inf
        self.woke = 0.0
        self._ended: Callable[[float], None] | None = None
        self._starter = 0
        self._starting = os_threads.allocate_lock()
        self._wake = os_threads.allocate_lock()
        self._wake.acquire()

    def add(self, job: Job, *, first: bool = False) -> None:
        """Run `job` from the next `nudge` on; `first`, before the others, which may take their time."""
        self._jobs = (_Entry(job), *self._jobs) if first else (*self._jobs, _Entry(job))

    def remove(self, job: Job) -> None:
        """Run `job` no more. It may be running just now."""
        self._jobs = tuple(entry for entry in self._jobs if entry.job != job)

    def nudge(self) -> None:
        """A call starts: see that the jobs run. Never blocks, never raises."""
        self.nudged = True  # before looking: the thread looks at this once more after it says that it sleeps
        if self.asleep:
            self.rouse()

    def hurry(self) -> None:
        """As `nudge`, but see to it at once, whatever the thread waits for. Costs several microseconds."""
        self.nudge()
        _release(self._wake)

    def stop(self, patience: float = _JOIN) -> None:
        """End the thread; wait for that, but only `patience` seconds. Nothing runs from then on."""
        self._stopped = True
        self._jobs = ()
        self.asleep = False
        _release(self._wake)
        if self._ended is not None:
            self._ended(patience)

    def forked(self) -> None:
        """Start anew in a child process: the thread is the parent's."""
        self._reset()
        self._jobs = tuple(_Entry(entry.job) for entry in self._jobs)

    @property
    def running(self) -> bool:
        """Whether there is a thread, awake or asleep."""
        return self._ended is not None

    # --- the call's side -----------------------------------------------------------------------------------------

    def rouse(self) -> None:
        """Wake the thread, or start it."""
        if not self._jobs or not self._starting.acquire(blocking=False):  # another call is at it
            return
        if self._ended is None and forks.are_to_come():
            self._starting.release()
            return
        try:
            self.asleep = False
            if self.rousing is not None:
                self.rousing()
            if self._ended is None:
                self._starter = os_threads.get_ident()
                self._ended = os_threads.start(self._run, "otel-consul")
            else:
                _release(self._wake)
        except os_threads.NoThreadError:
            self._do_without()
        except RuntimeError:  # no more threads to be had, or the interpreter is ending
            self.asleep = True
        finally:
            self._starting.release()

    # --- the thread's side ---------------------------------------------------------------------------------------

    def _do_without(self) -> None:
        """There is no thread that may wait: no job runs, and no call tries to start one again."""
        self._jobs = ()
        self.asleep = False
        guard.say_once(
            "otel_consul finds no thread of the operating system to run on; calls that hang are not reported, "
            "and less is known of the time lost in this process"
        )

    def _run(self) -> None:
        if not os_threads.is_own(self._starter):  # or the program would stand still as soon as this waits
            self._do_without()
            return
        try:
            while not self._stopped:
                nudged, self.nudged = self.nudged, False
                seconds = self._round(nudged=nudged)
                self._wait(self._linger if seconds is None else max(seconds, 0.0))
                if seconds is not None or self._wanted():
                    continue
                self.asleep = True
                if not self._wanted():
                    self._wait(None)
                self.asleep = False
        finally:
            if not self._stopped:  # a job's fault under `guard.strict`
                self._reset()

    def _wait(self, seconds: float | None) -> None:
        self.due = inf if seconds is None else perf_counter() + seconds
        self._wake.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))
        self.woke = perf_counter()

    def _wanted(self) -> bool:
        return self.nudged or self._stopped

    def _round(self, *, nudged: bool) -> float | None:
        """Run what is due; the seconds until the next is, None if nothing will be before the next nudge."""
        soonest: float | None = None
        idle = False
        for entry in self._jobs:
            now = perf_counter()
            if entry.due <= now if entry.due is not None else nudged:
                entry.run(now)
            if entry.due is None:
                idle = True
            elif soonest is None or entry.due < soonest:
                soonest = entry.due
        if soonest is None:
            return None
        seconds = soonest - perf_counter()
        return min(seconds, self._linger) if idle else seconds


class _Entry:
    """A job and when it is due, `perf_counter` seconds; None while it waits for a nudge."""

    __slots__ = ("due", "job")

    def __init__(self, job: Job) -> None:
        self.job: Job = job
        self.due: float | None = None

    def run(self, now: float) -> None:
        seconds: float | None = None
        try:
            seconds = self.job(now)
        except Exception:  # noqa: BLE001
            guard.fault("a background job")
        finally:
            self.due = None if seconds is None else perf_counter() + seconds


def _release(lock: _thread.LockType) -> None:
    with suppress(RuntimeError):  # somebody else has just done so
        lock.release()
