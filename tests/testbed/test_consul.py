"""Real Consul comes up in each form, does what we measured of it, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.consul import ConsulAgent, Unavailable, acl_agent, agent, cluster, find_consul

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("real_consul")]


def timed(agent: ConsulAgent, path: str) -> tuple[float, tuple[int, bytes]]:
    start = time.monotonic()
    answer = agent.call("GET", path, timeout=40)
    return time.monotonic() - start, answer


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_plain_agent() -> None:
    with agent() as one:
        assert json.loads(one.call("GET", "/v1/kv/?keys")[1] or b"[]") == []
        assert one.call("PUT", "/v1/kv/a", b"1") == (200, b"true\n")
        assert one.call("PUT", "/v1/session/create", b"{}")[0] == 200
        pid, log = one.process.pid, one.process.log
        assert log.is_file()
    assert not is_running(pid)
    assert not log.exists()


def test_more_connections_than_consul_allows_by_default() -> None:
    with agent() as one, ExitStack() as stack:
        for _ in range(300):
            connection = http.client.HTTPConnection(one.host, one.port, timeout=10)
            stack.callback(connection.close)
            connection.request("GET", "/v1/status/leader")
            assert connection.getresponse().read()


def test_an_agent_with_acls() -> None:
    with acl_agent() as one:
        assert one.token
        assert one.call("PUT", "/v1/kv/a", b"1")[0] == 200
        assert one.call("GET", "/v1/acl/tokens")[0] == 200
        assert replace(one, token=None).call("PUT", "/v1/kv/a", b"1") == (403, b"Permission denied")
        assert replace(one, token="nobody's").call("GET", "/v1/kv/a") == (403, b"ACL not found")


def test_configuration_can_be_laid_over() -> None:
    with agent({"datacenter": "east", "http_config": {"response_headers": {"X-Own": "1"}}}) as one:
        assert json.loads(one.call("GET", "/v1/agent/self")[1])["Config"]["Datacenter"] == "east"


def test_an_agent_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="no_such_option"), agent({"no_such_option": 1}):
        pass


@pytest.mark.slow
def test_calls_wait_for_a_paused_leader() -> None:
    with cluster() as three:
        leader = three.leader()
        one = three.servers[leader]
        one.call("PUT", "/v1/kv/a", b"1")
        index = json.loads(one.call("GET", "/v1/kv/a")[1])[0]["ModifyIndex"]
        results: list[Any] = []
        paths = ("/v1/kv/a", f"/v1/kv/a?index={index}&wait=1s")
        threads = [threading.Thread(target=lambda p=path: results.append(timed(one, p))) for path in paths]
        three.pause(leader)
        for thread in threads:
            thread.start()
        other = three.leader(among=lambda i: i != leader)
        assert other != leader
        time.sleep(2.0)
        assert results == []
        three.resume(leader)
        for thread in threads:
            thread.join(30)
        # Held until the pause was over (both beyond what was asked for), then answered as if nothing had been.
        assert [status for _, (status, _) in results] == [200, 200]
        assert all(took > 2.0 for took, _ in results)


@pytest.mark.slow
def test_without_a_quorum_the_server_holds_a_call_seven_seconds() -> None:
    with cluster() as three:
        leader = three.leader()
        assert three.client.call("PUT", "/v1/kv/a", b"1")[0] == 200
        for index in range(3):
            if index != leader:
                three.kill(index)
        time.sleep(2.0)
        took, answer = timed(three.servers[leader], "/v1/kv/a")
        assert answer == (500, b"No cluster leader")
        assert 6.9 < took < 8.0
        assert three.servers[leader].call("GET", "/v1/kv/a?stale")[0] == 200


def test_it_ends_with_a_process_that_is_killed() -> None:
    script = (
        "import testbed.consul as c, time\nwith c.agent() as one: print(one.process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        assert is_running(pid)
        program.kill()
    end = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < end:
        # Whoever inherits orphans here may not bury them: a zombie has ended, too.
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        time.sleep(0.05)
    assert not is_running(pid)


def test_fetching_can_be_forbidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("OTEL_CONSUL_NO_FETCH", "1")
    monkeypatch.setenv("OTEL_CONSUL_TEST_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CONSUL_BIN", raising=False)
    with pytest.raises(Unavailable, match="NO_FETCH"):
        find_consul.__wrapped__()
    monkeypatch.setenv("CONSUL_BIN", "/nowhere/consul")
    with pytest.raises(Unavailable, match="CONSUL_BIN"):
        find_consul.__wrapped__()
