"""What the story is played on: a Consul, real if one can be had and slow on demand, and the network before it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from rich.console import Console

from testbed import consul
from testbed.limits import allow_many_files
from testbed.processes import Process
from testbed.stub_agent import StubAgent
from testbed.tcp_proxy import TcpProxy


@dataclass(frozen=True)
class Stage:
    consul_name: str
    consul_port: int
    proxy: TcpProxy
    slowed: Callable[[float], AbstractContextManager[None]]
    """Consul answers up to so many seconds later, within the block."""


@contextmanager
def stage(console: Console, *, stub: bool = False) -> Iterator[Stage]:
    """Start a Consul and the network; they end with the block."""
    allow_many_files()
    with ExitStack() as stack:
        consul_name, port, slowed = (None if stub else _real_consul(console, stack)) or _stand_in(stack)
        yield Stage(consul_name, port, stack.enter_context(TcpProxy(port)), slowed)


Consul = tuple[str, int, Callable[[float], AbstractContextManager[None]]]
"""Its name and port, and what slows it."""
BREATH = 0.01
"""Seconds a slow Consul runs between two stops."""


def _real_consul(console: Console, stack: ExitStack) -> Consul | None:
    try:
        with console.status("Looking for a Consul (the first time it is fetched from Debian, some 30 MB) ..."):
            consul.find_consul()
        with console.status("Starting Consul ..."):
            agent = stack.enter_context(consul.agent())
            major, minor = consul.version()
    except (consul.Unavailable, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        console.print(f"No real Consul here ({reason}); a stand-in takes its part.", style="yellow")
        return None
    return f"Consul {major}.{minor}", agent.port, lambda seconds: _stop_and_go(agent.process, seconds)


@contextmanager
def _stop_and_go(process: Process, seconds: float) -> Iterator[None]:
    """The process stands still most of the time, `seconds` at a stretch, as on a machine with too little CPU."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            process.pause()
            ended.wait(seconds)
            process.resume()
            ended.wait(BREATH)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _stand_in(stack: ExitStack) -> Consul:
    agent = stack.enter_context(StubAgent())

    @contextmanager
    def slowed(seconds: float) -> Iterator[None]:
        agent.fault(delay=seconds)
        try:
            yield
        finally:
            agent.heal()

    return "a stand-in for Consul", agent.port, slowed
