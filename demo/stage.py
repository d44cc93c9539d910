"""What the story is played on: a Consul, real if one can be had, and the network before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rich.console import Console

from testbed import consul
from testbed.limits import allow_many_files
from testbed.stub_agent import StubAgent
from testbed.tcp_proxy import TcpProxy


@dataclass(frozen=True)
class Stage:
    consul_name: str
    consul_port: int
    proxy: TcpProxy


@contextmanager
def stage(console: Console, *, stub: bool = False) -> Iterator[Stage]:
    """Start a Consul and the network; they end with the block."""
    allow_many_files()
    with ExitStack() as stack:
        name, port = _real_consul(console, stack) if not stub else ("", 0)
        if not port:
            port = stack.enter_context(StubAgent()).port
            name = "a stand-in for Consul"
        yield Stage(name, port, stack.enter_context(TcpProxy(port)))


def _real_consul(console: Console, stack: ExitStack) -> tuple[str, int]:
    """The name and port of a real agent, or nothing."""
    try:
        with console.status("Looking for a Consul (the first time it is fetched from Debian, some 30 MB) ..."):
            consul.find_consul()
        with console.status("Starting Consul ..."):
            agent = stack.enter_context(consul.agent())
            major, minor = consul.version()
    except (consul.Unavailable, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        console.print(f"No real Consul here ({reason}); a stand-in takes its part.", style="yellow")
        return "", 0
    return f"Consul {major}.{minor}", agent.port
