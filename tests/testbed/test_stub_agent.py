"""Each fault is on the wire what it says it is."""

from __future__ import annotations

import http.client
import json
import math
import socket
import ssl
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from testbed.stub_agent import StubAgent, backlog_full_port, refused_port
from testbed.stub_agent.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator


from tests.testbed.calls import call, elapsed, parsed


@pytest.fixture
def agent() -> Iterator[StubAgent]:
    with StubAgent() as agent:
        agent.put("a", "1")
        yield agent


def wire(agent: StubAgent, path: str = "/v1/kv/a") -> list[tuple[float, bytes]]:
    """What arrives for a GET until the end: (seconds since the request, bytes) of each piece; the error re-raised."""
    with socket.create_connection(("127.0.0.1", agent.port), timeout=3) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        start, pieces = time.monotonic(), []
        while data := sock.recv(65536):
            pieces.append((time.monotonic() - start, data))
        return pieces


def threads_of(agent: StubAgent) -> list[threading.Thread]:
    """Not those of an agent that other tests keep for themselves: it may start one at any time."""
    return [thread for thread in threading.enumerate() if thread.name == f"stub-agent {agent.port}"]


def test_it_records_requests_and_counts_connections(agent: StubAgent) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", agent.port)
    for _ in range(2):
        connection.request("GET", "/v1/kv/a?token=s%20s", headers={"X-Consul-Token": "t"})
        connection.getresponse().read()
    connection.close()
    call(agent, "GET", "/v1/kv/a")
    first, second, third = agent.requests
    assert (first.method, first.target, first.headers["x-consul-token"]) == ("GET", "/v1/kv/a?token=s%20s", "t")
    assert first.option("token") == "s s"
    assert first.connection == second.connection != third.connection
    assert agent.connections_accepted == 2


def test_delay_before_the_first_byte(agent: StubAgent) -> None:
    agent.fault("/v1/kv/a", delay=0.3)
    first, _ = wire(agent)[0]
    assert 0.29 < first < 0.6
    assert wire(agent, "/v1/kv/b")[0][0] < 0.2


def test_dripped_body(agent: StubAgent) -> None:
    agent.fault(drip_bytes=20, drip_every=0.05)
    pieces = wire(agent)
    assert pieces[0][1].startswith(b"HTTP/1.1 200 OK\r\n")
    assert pieces[0][0] < 0.05
    dripped = [data for _, data in pieces[1:]]  # the head and the first drop may arrive as one
    assert len(dripped) >= 4
    assert all(len(data) <= 20 for data in dripped)
    assert pieces[-1][0] > 0.05 * (len(dripped) - 2)


def test_dripped_headers(agent: StubAgent) -> None:
    agent.fault(drip_bytes=20, drip_every=0.03, drip="headers")
    pieces = wire(agent)
    assert [len(data) for _, data in pieces[:4]] == [20, 20, 20, 20]


@pytest.mark.parametrize("after", ["nothing", "headers", "half"])
def test_hang_until_released(agent: StubAgent, after: str) -> None:
    hang = agent.fault(stop="hang", stop_after=after)
    with pytest.raises(TimeoutError):
        call(agent, "GET", "/v1/kv/a", timeout=0.3)
    threading.Timer(0.3, hang.release).start()
    start = time.monotonic()
    assert parsed(agent, "GET", "/v1/kv/a")[0]["Key"] == "a"
    assert time.monotonic() - start > 0.25
    assert hang.hits == 2


@pytest.mark.parametrize("after", ["nothing", "headers", "half"])
def test_reset(agent: StubAgent, after: str) -> None:
    agent.fault(stop="reset", stop_after=after)
    with socket.create_connection(("127.0.0.1", agent.port), timeout=3) as sock:
        sock.sendall(b"GET /v1/kv/a HTTP/1.1\r\n\r\n")
        received: list[bytes] = []
        with pytest.raises(ConnectionResetError):
            received.extend(iter(lambda: sock.recv(65536), b""))
    head, _, body = b"".join(received).partition(b"\r\n\r\n")
    assert (bool(head), bool(body)) == {"nothing": (0, 0), "headers": (1, 0), "half": (1, 1)}[after]


@pytest.mark.parametrize("chunked", [False, True])
def test_half_a_body_then_the_end(agent: StubAgent, chunked: bool) -> None:
    agent.fault(stop="close", stop_after="half", chunked=chunked)
    with pytest.raises(http.client.IncompleteRead):
        call(agent, "GET", "/v1/kv/a")


def test_close_without_an_answer(agent: StubAgent) -> None:
    agent.fault(stop="close")
    assert wire(agent) == []


def test_hang_up_behind_a_whole_answer(agent: StubAgent) -> None:
    agent.fault(hang_up=True, times=1)
    connection = http.client.HTTPConnection("127.0.0.1", agent.port)
    connection.request("GET", "/v1/kv/a")
    response = connection.getresponse()
    assert response.read()
    assert not response.will_close
    time.sleep(0.05)
    connection.request("GET", "/v1/kv/a")
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    connection.close()


def test_status_body_headers_redirect(agent: StubAgent) -> None:
    agent.fault("/v1/kv/500", status=500, body=b"No cluster leader")
    agent.fault("/v1/kv/a", body=b"{", times=1)
    agent.fault("/v1/kv/a", drop_headers=("x-consul-index",), known_leader=False, last_contact=4075, times=1)
    agent.fault("/v1/kv/moved", redirect="/v1/kv/a")
    agent.fault(method="PUT", status=429)
    assert call(agent, "GET", "/v1/kv/500")[::2] == (500, b"No cluster leader")
    _, headers, body = call(agent, "GET", "/v1/kv/a")
    assert body == b"{"
    assert "X-Consul-Index" in headers
    _, headers, body = call(agent, "GET", "/v1/kv/a")
    assert json.loads(body)
    assert "X-Consul-Index" not in headers
    assert (headers["X-Consul-Knownleader"], headers["X-Consul-Lastcontact"]) == ("false", "4075")
    status, headers, _ = call(agent, "GET", "/v1/kv/moved")
    assert (status, headers["Location"]) == (302, "/v1/kv/a")
    assert call(agent, "PUT", "/v1/kv/a", b"lost")[0] == 429
    assert call(agent, "GET", "/v1/kv/a?raw")[2] == b"1"


def test_large_body(agent: StubAgent) -> None:
    agent.fill("big/", 3)
    assert 2.9e6 < len(call(agent, "GET", "/v1/kv/big/?recurse")[2]) < 3.2e6


def test_predicate_count_and_order(agent: StubAgent) -> None:
    agent.fault(where=lambda r: r.flag("stale"), status=503, times=1)
    agent.fault(where=lambda r: r.flag("stale"), status=400, times=1)
    statuses = [call(agent, "GET", p)[0] for p in ("/v1/kv/a", *["/v1/kv/a?stale"] * 3)]
    assert statuses == [200, 503, 400, 200]


def test_late_handshake() -> None:
    with StubAgent(tls=True, delay_handshake=0.3) as agent:
        context = ssl.create_default_context(cafile=agent.ca_file)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default since Python 3.13
        connection = http.client.HTTPSConnection("127.0.0.1", agent.port, timeout=3, context=context)
        assert elapsed(connection.connect) > 0.3
        connection.request("GET", "/v1/status/leader")
        assert connection.getresponse().status == 200
        connection.close()
        agent.delay_handshake = math.inf
        with socket.create_connection(("127.0.0.1", agent.port), timeout=0.3) as sock, pytest.raises(TimeoutError):
            context.wrap_socket(sock, server_hostname="127.0.0.1")


def test_ports() -> None:
    with backlog_full_port() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.3)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", refused_port()), timeout=0.3)


def test_stop_releases_everybody_at_once() -> None:
    with StubAgent() as agent:
        agent.put("a", "1")
        hang, late = agent.fault("/v1/kv/h", stop="hang"), agent.fault("/v1/kv/d", delay=60)
        ended: list[str] = []

        def ask(path: str) -> None:
            try:
                call(agent, "GET", path, timeout=30)
            except (OSError, http.client.HTTPException) as error:
                ended.append(type(error).__name__)
            else:
                ended.append("answer")

        paths = ["/v1/kv/h", "/v1/kv/d", "/v1/kv/a?index=999999"] * 50
        threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        hang.wait(50)
        late.wait(50)
        agent.wait_for_requests(150)
        assert len(threads_of(agent)) == 151
        start = time.monotonic()
    assert time.monotonic() - start < 10.0  # of 60 that some would have to wait
    for thread in threads:
        thread.join(2.0)
    assert len(ended) == 150
    assert not threads_of(agent)


def test_stop_waits_for_who_is_about_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Connection.close

    def slowly(connection: Connection) -> None:
        time.sleep(0.3)
        close(connection)

    monkeypatch.setattr(Connection, "close", slowly)
    with StubAgent() as agent:
        call(agent, "GET", "/v1/kv/a")
        end = time.monotonic() + 5
        while agent.connections_open and time.monotonic() < end:
            time.sleep(0.001)
    assert not threads_of(agent)


def test_a_held_answer_ends_with_its_client(agent: StubAgent) -> None:
    agent.fault(stop="hang")
    with pytest.raises(TimeoutError):
        call(agent, "GET", "/v1/kv/a", timeout=0.1)
    end = time.monotonic() + 2
    while agent.connections_open and time.monotonic() < end:
        time.sleep(0.01)
    assert agent.connections_open == 0


def test_as_a_program_with_control_over_http() -> None:
    command = [sys.executable, "-m", "testbed.stub_agent", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        port = int(program.stdout.readline().rpartition(":")[2])
        agent: Any = type("Remote", (), {"port": port})
        try:
            fault = parsed(
                agent, "PUT", "/stub/fault", {"path": "/v1/kv/*", "status": 500, "body": "No cluster leader"}
            )
            assert call(agent, "GET", "/v1/kv/a")[::2] == (500, b"No cluster leader")
            assert parsed(agent, "GET", "/stub/fault") == [{"ID": fault["ID"], "hits": 1, "path": "/v1/kv/*"}]
            assert parsed(agent, "DELETE", "/stub/fault") == {"ended": 1}
            assert call(agent, "GET", "/v1/kv/a")[0] == 404
            status, _, body = call(agent, "PUT", "/stub/fault", {"dealy": 1})
            assert (status, body[:14]) == (400, b"unknown: dealy")
            assert len(parsed(agent, "GET", "/stub/requests")) == 2
        finally:
            program.terminate()
        assert program.wait(5) == 0
