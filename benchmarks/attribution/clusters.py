"""A real Consul of three servers that loses its leader, or has it stopped."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.attribution.scenarios import Scenario
from testbed.consul import Cluster, cluster

_PAUSED_AFTER = 1.0
_PAUSED_FOR = 12.0


class Place:
    """The cluster of one scenario, as its calls see it."""

    def __init__(self, running: Cluster, scenario: Scenario) -> None:
        self._cluster = running
        self._scenario = scenario
        client = running.client
        client.call("PUT", "/v1/kv/a", b"a")
        client.call("PUT", "/v1/kv/b", b"b")
        leader = running.leader()
        self._leader = leader
        self.port = client.port
        if scenario.action == "lose_quorum":
            self.port = running.servers[leader].port

    def index(self) -> str:
        """The index to block on."""
        _, body = self._cluster.client.call("GET", "/v1/kv/a")
        return str(json.loads(body)[0]["ModifyIndex"])

    def begin(self) -> None:
        """What happens to it when the call begins."""
        if self._scenario.action == "lose_quorum":
            for other in range(len(self._cluster.servers)):
                if other != self._leader:
                    self._cluster.kill(other)
            self._wait_until_leaderless()
        elif self._scenario.action == "pause_leader":
            threading.Timer(_PAUSED_AFTER, self._cluster.pause, (self._leader,)).start()
            threading.Timer(_PAUSED_AFTER + _PAUSED_FOR, self._cluster.resume, (self._leader,)).start()

    def _wait_until_leaderless(self) -> None:
        end = time.monotonic() + 15
        while self._cluster.servers[self._leader].leader() is not None and time.monotonic() < end:
            time.sleep(0.05)


@contextmanager
def placed(scenario: Scenario) -> Iterator[Place]:
    """A cluster for this scenario alone."""
    with cluster() as running:
        yield Place(running, scenario)
