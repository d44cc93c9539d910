"""Calls of a process that the machine keeps from running, and what the kernel said of them meanwhile.

`python -m benchmarks.attribution.starving limit|busy [--style asyncio] [--gil S] [--blocked S] [--slow S]` prints one line of
JSON: what the calls' spans say (`given`) and what the kernel counted between each span's start and end (`truth`), both in
seconds for all calls for a key together: those for `late` are disturbed. The process limits itself or is beset by busy ones; the agent and
the busy processes are others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import consul
import consul.aio
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from benchmarks.attribution.disturbances import busy, hold_gil
from benchmarks.attribution.stage import CAUSES, Agent
from otel_consul import ConsulInstrumentor
from testbed import cgroups

SHARE = 0.15
"""Of a processor, under the limit."""
BUSY = 6
"""Processes that compute on the same processor."""
PAUSE = 0.01
_PREFIX = "consul.local_delay."


class Kernel(SpanProcessor):
    """Between each span's start and end, what its thread was ready to run without running, and what the limit cost."""

    def __init__(self) -> None:
        self.given: dict[str, Counter[str]] = defaultdict(Counter)
        """Of the calls for each key."""
        self.truth: dict[str, Counter[str]] = defaultdict(Counter)
        self.group: cgroups.Group | None = None
        self.counting = False
        self._before = (0.0, 0.0)

    def _read(self) -> tuple[float, float]:
        ready = int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e9
        return ready, self.group.throttled() if self.group is not None else 0.0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self._before = self._read()

    def on_end(self, span: Any) -> None:
        if not self.counting:
            return
        key = span.attributes["consul.kv.key"]
        given, truth = self.given[key], self.truth[key]
        truth["calls"] += 1
        elapsed = (span.end_time - span.start_time) / 1e9
        ready, limit = (after - before for after, before in zip(self._read(), self._before, strict=True))
        ready = min(ready, elapsed)
        truth["throttled"] += min(ready, limit)
        truth["cpu"] += ready - min(ready, limit)
        truth["duration"] += elapsed
        for cause in CAUSES:
            given[cause] += float(span.attributes.get(_PREFIX + cause, 0.0))


@contextmanager
def _beset(kernel: Kernel, kind: str) -> Iterator[None]:
    with ExitStack() as stack:
        if kind == "limit":
            kernel.group = stack.enter_context(cgroups.limited(SHARE))
            kernel.group.enter()
            stack.callback(kernel.group.leave)
        elif kind == "busy":
            processor = min(os.sched_getaffinity(0))
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, {processor})
            for _ in range(BUSY):
                process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                stack.callback(process.wait)
                stack.callback(process.kill)
        yield


class Program:
    """Calls, one after the other, for some seconds; once a second something else is done to them."""

    def __init__(self, kernel: Kernel, options: Any, port: int) -> None:
        self._kernel = kernel
        self._options = options
        self._port = port
        self._next = 0.0

    def _goes_on(self) -> bool:
        """The first second is not counted: the package finds out that the machine starves."""
        now = time.perf_counter()
        self._began: float = getattr(self, "_began", now)
        self._kernel.counting = now - self._began > 1
        return now - self._began < 1 + self._options.seconds

    def _disturbance_is_due(self) -> bool:
        if not self._kernel.counting or time.perf_counter() < self._next:
            return False
        self._next = time.perf_counter() + 1
        return True

    def sync(self) -> None:
        client = consul.Consul(port=self._port)
        while self._goes_on():
            if self._options.gil and self._disturbance_is_due():
                # The request is on its way when the other thread begins: one long step in C.
                thread = threading.Timer(0.1, hold_gil, (self._options.gil,))
                thread.start()
                client.kv.get("late")
                thread.join()
            client.kv.get("a")
            time.sleep(PAUSE)

    async def asyncio(self) -> None:
        client = consul.aio.Consul(port=self._port)
        while self._goes_on():
            if (self._options.gil or self._options.blocked) and self._disturbance_is_due():
                thread = threading.Timer(0.1, hold_gil, (self._options.gil,))
                if self._options.gil:
                    thread.start()
                call = asyncio.ensure_future(client.kv.get("late"))
                if self._options.blocked:
                    await asyncio.sleep(0.1)
                    busy(self._options.blocked)
                await call
            await client.kv.get("a")
            await asyncio.sleep(PAUSE)
        await client.close()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attribution.starving", description=__doc__)
    parser.add_argument("kind", choices=("limit", "busy", "none"))
    parser.add_argument("--style", choices=("sync", "asyncio"), default="sync")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--gil", type=float, default=0.0, help="seconds for which another thread keeps the GIL")
    parser.add_argument("--blocked", type=float, default=0.0, help="seconds for which the loop computes")
    parser.add_argument("--slow", type=float, default=0.0, help="seconds the agent takes for each answer")
    options = parser.parse_args()
    kernel = Kernel()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kernel)
    agent = Agent()
    try:
        agent.control("PUT", {"path": "/v1/kv/late", "delay": 0.15})
        if options.slow:
            agent.control("PUT", {"path": "/v1/kv/a", "delay": options.slow})
        hold_gil(0.001)  # it finds out first how fast it is
        ConsulInstrumentor().instrument(tracer_provider=provider)
        with _beset(kernel, options.kind):
            program = Program(kernel, options, agent.port)
            if options.style == "sync":
                program.sync()
            else:
                asyncio.run(program.asyncio())
    finally:
        agent.close()
    sys.stdout.write(json.dumps({"given": kernel.given, "truth": kernel.truth}) + "\n")


if __name__ == "__main__":
    main()
