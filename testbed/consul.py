"""Real Consul agents on loopback: plain, with ACLs, and a cluster whose leader can be lost."""

from __future__ import annotations

import functools
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.debian import Unavailable, program
from testbed.limits import allow_many_files
from testbed.processes import Process, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Cluster", "ConsulAgent", "Unavailable", "acl_agent", "agent", "cluster", "find_consul"]

Config = dict[str, Any]
HOST = "127.0.0.1"
START_SECONDS = 30.0
START_TRIES = 3


@functools.cache
def find_consul() -> Path:
    """The consul program: CONSUL_BIN, else PATH, else fetched (see testbed.debian). Unavailable when there is none."""
    if named := os.environ.get("CONSUL_BIN"):
        if not os.access(named, os.X_OK):
            raise Unavailable(f"CONSUL_BIN={named} is no program")
        return Path(named)
    if found := shutil.which("consul"):
        return Path(found)
    return program("consul")


@functools.cache
def version() -> tuple[int, int]:
    """Consul's major and minor version."""
    text = subprocess.run([find_consul(), "version"], capture_output=True, text=True, check=True, timeout=30).stdout
    found = re.search(r"v(\d+)\.(\d+)", text)
    if found is None:
        raise Unavailable(f"{find_consul()} does not say its version: {text[:100]!r}")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class ConsulAgent:
    """An agent that runs now."""

    host: str
    port: int
    token: str | None
    name: str
    process: Process

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def call(self, method: str, path: str, body: bytes | None = None, timeout: float = 10.0) -> tuple[int, bytes]:
        """One request: status and body. OSError, or http.client.HTTPException, when there is no answer in time."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {"X-Consul-Token": self.token} if self.token else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def leader(self) -> str | None:
        """The address of the leader this agent knows of, if it does."""
        try:
            status, body = self.call("GET", "/v1/status/leader", timeout=1.0)
        except (OSError, http.client.HTTPException):
            return None
        return (json.loads(body) or None) if status == 200 else None

    def is_ready(self) -> bool:
        """Whether it serves reads, writes and sessions: a leader is known, and the agent's node is registered."""
        if self.leader() is None:
            return False
        try:
            status, body = self.call("GET", f"/v1/health/node/{self.name}", timeout=1.0)
            written, _ = self.call("DELETE", "/v1/kv/testbed-is-ready", timeout=1.0)  # a write, yet it leaves nothing
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and b"serfHealth" in body and written == 200


@contextmanager
def agent(config: Mapping[str, Any] | None = None) -> Iterator[ConsulAgent]:
    """A development agent, all in memory. `config` is laid over its configuration, top-level keys only.

    Unavailable when there is no Consul; RuntimeError, with the end of its log, when it does not get ready.
    """
    with _started([_Plan(str(uuid.uuid4())[:8], dev=True, extra=config or {})]) as (one,):
        yield one


@contextmanager
def acl_agent(config: Mapping[str, Any] | None = None) -> Iterator[ConsulAgent]:
    """As `agent`, with ACLs on and everything denied by default; `.token` may do all."""
    token = str(uuid.uuid4())
    name = "master" if version() < (1, 11) else "initial_management"
    acl = {"enabled": True, "default_policy": "deny", "tokens": {name: token, "agent": token}}
    plan = _Plan(str(uuid.uuid4())[:8], dev=True, token=token, extra={"acl": acl, **(config or {})})
    with _started([plan]) as (one,):
        yield one


@dataclass(frozen=True)
class Cluster:
    servers: tuple[ConsulAgent, ...]
    clients: tuple[ConsulAgent, ...]
    """Agents that forward to the servers, as the one on each host of a real datacenter does."""
    rpc_ports: tuple[int, ...]

    @property
    def client(self) -> ConsulAgent:
        return self.clients[0]

    def leader(self, among: Callable[[int], bool] = lambda _: True, timeout: float = 15.0) -> int:
        """The index of the leading server, by the word of the first server of `among` that knows. TimeoutError."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for index, server in enumerate(self.servers):
                if among(index) and (address := server.leader()) is not None:
                    led = self.rpc_ports.index(int(address.rpartition(":")[2]))
                    if among(led):
                        return led
            time.sleep(0.05)
        raise TimeoutError(f"no leader within {timeout} s")

    def pause(self, index: int) -> None:
        """Freeze a server (SIGSTOP): its connections stay open, nothing answers."""
        self.servers[index].process.pause()

    def resume(self, index: int) -> None:
        self.servers[index].process.resume()

    def kill(self, index: int) -> None:
        """End a server at once (SIGKILL)."""
        self.servers[index].process.kill()


@contextmanager
def cluster(servers: int = 3, clients: int = 1, config: Mapping[str, Any] | None = None) -> Iterator[Cluster]:
    """Servers with a leader, and client agents joined to them. Errors as in `agent`."""
    shared: Config = {"bootstrap_expect": servers, "server": True, **(config or {})}
    run = str(uuid.uuid4())[:4]
    plans = [_Plan(f"server{i}-{run}", extra=shared) for i in range(servers)]
    plans += [_Plan(f"client{i}-{run}", extra={"server": False, **(config or {})}) for i in range(clients)]
    with _started(plans) as agents:
        rpc_ports = tuple(plan.ports["server"] for plan in plans[:servers])
        yield Cluster(tuple(agents[:servers]), tuple(agents[servers:]), rpc_ports)


@dataclass
class _Plan:
    """One agent to start."""

    name: str
    extra: Mapping[str, Any]
    dev: bool = False
    token: str | None = None

    def __post_init__(self) -> None:
        self.take_ports()

    def take_ports(self) -> None:
        http_port, serf, server = free_ports(3)
        off = {"dns": -1, "https": -1, "grpc": -1, "serf_wan": -1}
        self.ports = {"http": http_port, "serf_lan": serf, "server": server, **off}

    def config(self, folder: Path, join: list[str]) -> Config:
        config: Config = {
            "node_name": self.name,
            "bind_addr": HOST,
            "client_addr": HOST,
            "ports": self.ports,
            "disable_update_check": True,
            "log_level": "info",
            # One second to notice a lost leader, not five; as production is told to set it.
            "performance": {"raft_multiplier": 1},
            # 200 by default: a test with hundreds of threads would meet that limit and not what it is about.
            # Consul wants some files to spare beside them.
            "limits": {"http_max_conns_per_client": min(8000, allow_many_files() - 100)},
        }
        if not self.dev:
            config |= {"data_dir": str(folder / f"{self.name}.data"), "retry_join": join, "retry_interval": "200ms"}
        return config | dict(self.extra)


@contextmanager
def _started(plans: list[_Plan]) -> Iterator[list[ConsulAgent]]:
    program_path = find_consul()
    for tries_left in reversed(range(START_TRIES)):
        with ExitStack() as stack:
            # A leftover file of a dying agent is no reason to fail a test.
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="consul-", ignore_cleanup_errors=True))
            )
            agents = [_start(program_path, plan, plans, folder, stack) for plan in plans]
            trouble = _wait_until_ready(agents)
            if trouble is None:
                yield agents
                return
        if "address already in use" not in trouble or not tries_left:
            raise RuntimeError(trouble)
        for plan in plans:  # somebody was quicker with one of our ports
            plan.take_ports()


def _start(path: Path, plan: _Plan, plans: list[_Plan], folder: Path, stack: ExitStack) -> ConsulAgent:
    join = [f"{HOST}:{other.ports['serf_lan']}" for other in plans if other is not plan]
    file = folder / f"{plan.name}.json"
    file.write_text(json.dumps(plan.config(folder, join)))
    command = [str(path), "agent", *(["-dev"] if plan.dev else []), f"-config-file={file}"]
    process = Process(command, folder / f"{plan.name}.log")
    stack.callback(process.kill)
    return ConsulAgent(HOST, plan.ports["http"], plan.token, plan.name, process)


def _wait_until_ready(agents: list[ConsulAgent]) -> str | None:
    """What went wrong, if anything."""
    end = time.monotonic() + START_SECONDS
    waiting = list(agents)
    while waiting and time.monotonic() < end:
        if dead := next((a for a in waiting if not a.process.running), None):
            return f"consul ended:\n{dead.process.tail()}"
        waiting = [a for a in waiting if not a.is_ready()]
        if waiting:
            time.sleep(0.05)
    return f"consul not ready within {START_SECONDS} s:\n{waiting[0].process.tail()}" if waiting else None
