"""The stand-in agent behaves like Consul: the same tests pass on both."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import TYPE_CHECKING, Protocol

import pytest

from testbed.consul import agent as consul_agent
from testbed.stub_agent import StubAgent
from tests.testbed.calls import call, elapsed, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Target(Protocol):
    @property
    def port(self) -> int: ...

    def put(self, key: str, value: str) -> None:
        """Write a key, as another client."""


class RealAgent:
    def __init__(self, port: int) -> None:
        self.port = port

    def put(self, key: str, value: str) -> None:
        call(self, "PUT", f"/v1/kv/{key}", value.encode())


@pytest.fixture(params=["stub", pytest.param("consul", marks=pytest.mark.integration)])
def agent(request: pytest.FixtureRequest) -> Iterator[Target]:
    if request.param == "stub":
        with StubAgent() as stub:
            stub.put("a", "1")
            yield stub
    else:
        request.getfixturevalue("real_consul")
        with consul_agent() as real:
            target = RealAgent(real.port)
            target.put("a", "1")
            yield target


def test_kv_reads_and_writes(agent: Target) -> None:
    assert parsed(agent, "PUT", "/v1/kv/p/x%3Fy%20%C3%BC?flags=7", b"value") is True
    status, headers, body = call(agent, "GET", "/v1/kv/p/x%3Fy%20%C3%BC")
    entry = json.loads(body)[0]
    assert (status, entry["Key"], entry["Flags"]) == (200, "p/x?y ü", 7)
    assert base64.b64decode(entry["Value"]) == b"value"
    assert headers["X-Consul-Index"] == str(entry["ModifyIndex"])
    assert (headers["X-Consul-Knownleader"], headers["X-Consul-Lastcontact"]) == ("true", "0")
    assert call(agent, "GET", "/v1/kv/p/x%3Fy%20%C3%BC?raw")[2] == b"value"
    parsed(agent, "PUT", "/v1/kv/p/q/1", b"")
    assert parsed(agent, "GET", "/v1/kv/p/?keys&separator=/") == ["p/q/", "p/x?y ü"]
    assert len(parsed(agent, "GET", "/v1/kv/p/?recurse")) == 2
    assert parsed(agent, "DELETE", "/v1/kv/p/?recurse") is True
    status, headers, body = call(agent, "GET", "/v1/kv/p/?recurse")
    assert (status, body) == (404, b"")
    assert "X-Consul-Index" in headers


def test_check_and_set(agent: Target) -> None:
    index = parsed(agent, "GET", "/v1/kv/a")[0]["ModifyIndex"]
    assert parsed(agent, "PUT", f"/v1/kv/a?cas={index}", b"2") is True
    assert parsed(agent, "PUT", f"/v1/kv/a?cas={index}", b"3") is False
    assert parsed(agent, "PUT", "/v1/kv/new?cas=0", b"") is True
    assert parsed(agent, "DELETE", "/v1/kv/a?cas=1") is False


def test_locks(agent: Target) -> None:
    first, second = (parsed(agent, "PUT", "/v1/session/create", {"name": n, "ttl": "10s"})["ID"] for n in "ab")
    assert parsed(agent, "PUT", f"/v1/kv/lock?acquire={first}", b"") is True
    assert parsed(agent, "PUT", f"/v1/kv/lock?acquire={second}", b"") is False
    assert parsed(agent, "GET", "/v1/kv/lock")[0]["Session"] == first
    assert parsed(agent, "PUT", f"/v1/kv/lock?release={first}", b"") is True
    assert call(agent, "PUT", "/v1/kv/lock?acquire=gone", b"")[0] == 500
    assert len(parsed(agent, "GET", "/v1/session/list")) == 2
    assert parsed(agent, "PUT", f"/v1/session/destroy/{first}") is True
    assert call(agent, "PUT", f"/v1/session/renew/{first}")[0] == 404
    assert parsed(agent, "GET", f"/v1/session/info/{first}") == []
    assert call(agent, "PUT", "/v1/session/create", {"TTL": "5s"})[0] == 500


def test_blocking_query_wakes_on_change_and_only_then(agent: Target) -> None:
    index = parsed(agent, "GET", "/v1/kv/a")[0]["ModifyIndex"]
    threading.Timer(0.1, agent.put, ["other", "x"]).start()
    threading.Timer(0.3, agent.put, ["a", "2"]).start()
    start = time.monotonic()
    _, headers, _ = call(agent, "GET", f"/v1/kv/a?index={index}&wait=3s")
    assert 0.25 < time.monotonic() - start < 1.0
    assert int(headers["X-Consul-Index"]) > index


def test_blocking_query_expires_within_wait_and_a_sixteenth(agent: Target) -> None:
    index = parsed(agent, "GET", "/v1/kv/a")[0]["ModifyIndex"]
    took = elapsed(lambda: call(agent, "GET", f"/v1/kv/a?index={index}&wait=320ms"))
    assert 0.32 <= took < 0.34 + 0.1
    assert elapsed(lambda: call(agent, "GET", "/v1/kv/a?index=1&wait=3s")) < 0.2
    assert elapsed(lambda: call(agent, "GET", "/v1/status/leader?index=99&wait=3s")) < 0.2
    assert call(agent, "GET", f"/v1/kv/a?index={index}&wait=2")[0] == 400


def test_watch_of_an_absent_key_and_of_a_prefix(agent: Target) -> None:
    for path, key in (("/v1/kv/new?", "new"), ("/v1/kv/dir/?recurse&", "dir/x")):
        first = index = int(call(agent, "GET", path)[1]["X-Consul-Index"])
        threading.Timer(0.05, agent.put, ["unrelated", f"{time.monotonic()}"]).start()
        threading.Timer(0.2, agent.put, [key, "1"]).start()
        start, status = time.monotonic(), 404
        # Consul may wake such a reader for a neighbour in its tree: like any watcher, ask again.
        while status == 404 and time.monotonic() - start < 3.0:
            status, headers, _ = call(agent, "GET", f"{path}index={index}&wait=3s")
            index = int(headers["X-Consul-Index"])
        assert status == 200
        assert 0.15 < time.monotonic() - start < 1.0
        assert index > first


def test_services_checks_and_health(agent: Target) -> None:
    service = {"name": "web", "ID": "scope/web", "Port": 80, "tags": ["x"], "check": {"TTL": "30s"}}
    assert call(agent, "PUT", "/v1/agent/service/register", service)[0] == 200
    assert parsed(agent, "GET", "/v1/health/service/web?passing") == []
    index = call(agent, "GET", "/v1/health/service/web")[1]["X-Consul-Index"]
    threading.Timer(0.1, call, [agent, "PUT", "/v1/agent/check/pass/service:scope/web"]).start()
    entries = parsed(agent, "GET", f"/v1/health/service/web?passing&index={index}&wait=3s")
    assert [e["Service"]["Port"] for e in entries] == [80]
    assert parsed(agent, "GET", "/v1/catalog/services") == {"consul": [], "web": ["x"]}
    assert parsed(agent, "GET", "/v1/catalog/service/web")[0]["ServiceID"] == "scope/web"
    assert list(parsed(agent, "GET", "/v1/agent/checks")) == ["service:scope/web"]
    digest = call(agent, "GET", "/v1/agent/service/scope/web")[1]["X-Consul-Contenthash"]
    took = elapsed(lambda: call(agent, "GET", f"/v1/agent/service/scope/web?hash={digest}&wait=200ms"))
    assert 0.2 <= took < 0.5
    assert call(agent, "PUT", "/v1/agent/service/deregister/scope/web")[0] == 200
    assert call(agent, "PUT", "/v1/agent/check/pass/nope")[0] == 500
    assert parsed(agent, "GET", "/v1/agent/services") == {}


def test_transactions_are_all_or_nothing(agent: Target) -> None:
    write = {"KV": {"Verb": "set", "Key": "t", "Value": "eA=="}}
    assert parsed(agent, "PUT", "/v1/txn", [write])["Errors"] is None
    status, _, body = call(
        agent, "PUT", "/v1/txn", [{"KV": {"Verb": "delete", "Key": "t"}}, {"KV": {"Verb": "get", "Key": "no"}}]
    )
    assert (status, json.loads(body)["Errors"][0]["OpIndex"]) == (409, 1)
    assert call(agent, "GET", "/v1/kv/t")[0] == 200
    assert call(agent, "PUT", "/v1/txn", [write] * 65)[0] == 413


def test_the_rest(agent: Target) -> None:
    event = parsed(agent, "PUT", "/v1/event/fire/deploy", b"x")
    assert [e["ID"] for e in parsed(agent, "GET", "/v1/event/list?name=deploy")] == [event["ID"]]
    assert parsed(agent, "GET", "/v1/agent/self")["Config"]["Datacenter"] == "dc1"
    assert ":" in parsed(agent, "GET", "/v1/status/leader")
    assert call(agent, "GET", "/v1/nothing")[0] == 404
    assert call(agent, "POST", "/v1/kv/a")[0] == 405
    assert call(agent, "PUT", "/v1/session/create", b"{")[0] == 400
