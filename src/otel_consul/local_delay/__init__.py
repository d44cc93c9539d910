"""Time that calls lose on this side: to the event loop, the garbage collector, the GIL, or for want of a processor.

It overlaps the phases and says how much of them is not Consul's. What each number can and cannot prove:

`event_loop`
    An answer (or a connection) had come, and the loop did not get to it because it was busy or blocked. On Linux the
    kernel proves how long it lay in the socket, to a tick of its clock (1 to 10 ms). Without such proof (a wait for a
    pooled connection or a name; other systems; unix sockets) it is the stretch in which the loop was busy up to the
    moment the call went on: what was waited for came at some time in it, so that is the most it can be. A loop that
    was blocked while nothing was to be done for the call, because Consul had not answered, costs it nothing and does
    not count. A call's own decoding does not count for itself; it does for the others.

`gc`
    Pauses of the collector while the call was open: exact. Not known is whether the call lost by them, or would only
    have waited for Consul meanwhile. They are in none of the other two.

`cpu`, `throttled`
    A thread was ready to run, and other processes had the processors, or the control group's CPU limit was used up. Exact,
    by the kernel's account, once the machine has been seen to starve; just before that it is what the package's
    background thread suffered meanwhile. None of it is in the others.

`gil`
    A thread had its answer, or had sent its request, or had only computing to do, and did not run: others held the
    GIL. Where the kernel does not say for how long a thread was ready, the two above are in it as well. For a call that keeps its thread waiting it is
    proved by the kernel as above, and by the thread's processor time. For asyncio it is that part of what would be
    `event_loop` in which the loop's thread did not have the processor and the package's own background thread was
    kept from running as well. What a thread loses in name resolution, in a pool's queue, or before it sends anything
    cannot be told from honest waiting and is not counted: `gil` is a lower bound.

Less than two ticks of the kernel's clock in all is no finding, and is left out.

What it costs: the collector's two signals; a few clock readings per call; while asyncio calls are open, a heartbeat in
their loop and a wake-up of the background thread, each 40 times a second, and 10 times once no call has begun for two
seconds. Nothing while no call is open.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, Protocol

from otel_consul.background import forks
from otel_consul.background.os_threads import get_ident
from otel_consul.local_delay import scheduler
from otel_consul.local_delay.callers import CallerClocks
from otel_consul.local_delay.calls import Delay
from otel_consul.local_delay.loops import LoopWatch
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.probe import Job, Probe, Sleeper
from otel_consul.local_delay.task_calls import TaskDelay
from otel_consul.local_delay.thread_calls import ThreadDelay
from otel_consul.network.connections import CONNECTIONS
from otel_consul.phases import Clock

__all__ = ["LocalDelay"]


class Background(Sleeper, Protocol):
    """What is needed of `background.Background`."""

    def add(self, job: Job) -> None: ...
    def remove(self, job: Job) -> None: ...
    def hurry(self) -> None: ...


class LocalDelay:
    """Measures from its making until `stop`."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._pauses = Pauses()
        self._watches: dict[int, LoopWatch] = {}
        """By id(loop)."""
        self._clocks = CallerClocks()
        self._latest = self._clocks.latest
        self._probe = Probe(background, self._watching, self._clocks, self._pauses)
        self._pauses.start()
        background.add(self._probe)
        forks.follow(self)

    def call_started(self, clock: Clock, task: Any) -> None:
        """A call begins: one that its thread waits for, or one that `task` runs, here and now."""
        if task is None:
            self._probe.wanted = True
            ident = get_ident()
            clock.delay = ThreadDelay(self._pauses, self._probe, self._latest.get(ident) or self._clocks.read(ident))
        else:
            clock.delay = TaskDelay(self._pauses, self._probe, self._watch(task.get_loop()))

    def future_given(self, clock: Clock) -> None:
        """A call that has just begun keeps its thread not waiting: it goes on in a loop, asyncio's or another."""
        paused = clock.delay.paused
        try:
            watch = self._watch(asyncio.get_running_loop())
        except RuntimeError:  # twisted's reactor, or a pool of threads
            clock.delay = Delay(self._pauses, self._probe, paused)
        else:
            clock.delay = delay = TaskDelay(self._pauses, self._probe, watch)
            delay.paused = paused
            if not clock.running:  # it has ended meanwhile, in another thread
                delay.drop()

    def _watch(self, loop: Any) -> LoopWatch:
        key = id(loop)
        watch = self._watches.get(key)
        if watch is None or watch.loop() is not loop:
            watches = self._watches
            gone = weakref.ref(loop, lambda _: watches.pop(key, None))
            watch = watches[key] = LoopWatch(gone, self._pauses, self._probe, self._background.hurry)
        return watch

    def stop(self) -> None:
        """Measure no more; calls still open end as if nothing had been lost from now on."""
        self._pauses.stop()
        CONNECTIONS.clear()
        scheduler.close()
        self._background.remove(self._probe)
        for watch in list(self._watches.values()):
            watch.stopped = True

    def _watching(self) -> bool | None:
        beating = [watch for watch in list(self._watches.values()) if watch.beating]
        return any(watch.hurried for watch in beating) if beating else None

    def forked(self) -> None:
        """In a child process: the loops and what they ran are the parent's."""
        self._watches = {}
        self._probe.reset()
