"""What urllib3 does more than once: tries of one call, and its connections."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from testbed.stub_agent import StubAgent
from tests.clients.drivers import Driver
from tests.support.phases import DELAY, lands, mount, warm
from tests.support.telemetry import Telemetry, events

requests = pytest.importorskip("requests")
urllib3 = pytest.importorskip("urllib3")
from requests.adapters import HTTPAdapter  # noqa: E402

STYLES = ("sync",)


# --- retries ----------------------------------------------------------------------------------------------------------


def test_retries_add_up_and_back_off_is_apart(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
    client = std.make(stub.port)
    warm(instrumented, client, std)
    mount(client, HTTPAdapter(max_retries=urllib3.Retry(3, backoff_factor=0.3, status_forcelist=[503])))
    stub.fault("/v1/kv/key", status=503, times=2, delay=0.2)
    client.kv.get("key")
    span = instrumented.span
    slept = sum(urllib3.Retry(backoff_factor=0.3, history=history).get_backoff_time() for history in _histories(2))
    lands(span, wait=0.4, backoff=slept)
    assert (span.attributes or {})["http.request.resend_count"] == 2
    retries = [dict(event.attributes or {}) for event in span.events if event.name == "consul.retry"]
    assert [r["http.response.status_code"] for r in retries] == [503, 503]
    assert [r["http.request.resend_count"] for r in retries] == [1, 2]
    assert instrumented.total("consul.client.retries") == 2


def _histories(number: int) -> list[tuple[Any, ...]]:
    entry = urllib3.util.retry.RequestHistory("GET", "/", None, 503, None)
    return [(entry,) * count for count in range(1, number + 1)]


def test_retries_after_errors_name_them(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
    client = std.make(stub.port)
    warm(instrumented, client, std)
    mount(client, HTTPAdapter(max_retries=urllib3.Retry(3, backoff_factor=0.3)))
    stub.fault("/v1/kv/key", stop="reset", times=2, delay=0.2)
    client.kv.get("key")
    span = instrumented.span
    slept = sum(urllib3.Retry(backoff_factor=0.3, history=history).get_backoff_time() for history in _histories(2))
    lands(span, wait=0.4, backoff=slept)
    assert (span.attributes or {})["http.request.resend_count"] == 2
    assert (span.attributes or {})["consul.connection.reused"] is False
    assert events(span)["consul.retry"]["error.type"] == "urllib3.exceptions.ProtocolError"


def test_retries_in_vain_end_in_the_phase_the_last_error_struck_in(
    instrumented: Telemetry, stub: StubAgent, std: Driver
) -> None:
    client = std.make(stub.port)
    mount(client, HTTPAdapter(max_retries=urllib3.Retry(2)))
    stub.fault("/v1/kv/key", stop="close", delay=0.1)
    with pytest.raises(requests.ConnectionError):
        client.kv.get("key")
    span = instrumented.span
    lands(span, wait=0.3)
    assert (span.attributes or {})["http.request.resend_count"] == 2


def test_a_back_off_of_the_programs_own_is_one_too(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
    class Stubborn(HTTPAdapter):  # type: ignore[misc]
        def send(self, *args: Any, **kwargs: Any) -> Any:
            for _ in range(2):
                try:
                    response = super().send(*args, **kwargs)
                except requests.ConnectionError:
                    time.sleep(DELAY)
                    continue
                if response.status_code != 503:
                    return response
                time.sleep(DELAY)
            return super().send(*args, **kwargs)

    client = std.make(stub.port)
    warm(instrumented, client, std)
    mount(client, Stubborn())
    stub.fault("/v1/kv/key", stop="close", times=1)
    stub.fault("/v1/kv/key", status=503, times=1)
    client.kv.get("key")
    span = instrumented.span
    lands(span, backoff=2 * DELAY)
    assert (span.attributes or {})["http.request.resend_count"] == 2
    assert [next(iter({"error.type", "http.response.status_code"} & set(e.attributes or {}))) for e in span.events] == [
        "error.type",
        "http.response.status_code",
    ]


# --- connections ------------------------------------------------------------------------------------------------------


def test_connections_are_told_new_or_reused(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    client = driver.make(stub.port)
    for _ in range(3):
        driver.call(client, "kv.get", "key")
    new, *reused = (span.attributes or {} for span in instrumented.spans)
    assert new["consul.connection.reused"] is False
    assert [span["consul.connection.reused"] for span in reused] == [True, True]
    assert {(a["network.peer.address"], a["network.peer.port"]) for a in (new, *reused)} == {("127.0.0.1", stub.port)}
    assert instrumented.total("consul.client.connections.opened") == 1
    assert not any(f"consul.phase.{phase}" in a for phase in ("dns", "connect", "tls") for a in reused)


def test_a_dropped_connection_is_new_again(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
    client = std.make(stub.port)
    stub.fault("/v1/kv/key", hang_up=True, times=1)
    client.kv.get("key")
    while stub.connections_open:
        time.sleep(0.01)
    client.kv.get("key")
    assert [(span.attributes or {})["consul.connection.reused"] for span in instrumented.spans] == [False, False]
    assert instrumented.total("consul.client.connections.opened") == 2


def test_a_unix_socket_has_a_path_for_a_peer(instrumented: Telemetry, tmp_path: Path) -> None:
    consulate = pytest.importorskip("consulate")
    pytest.importorskip("requests_unixsocket")
    path = tmp_path / "consul.sock"
    with _unix_agent(path):
        consulate.Consul(str(path), None, scheme="http+unix", adapter=consulate.adapters.UnixSocketRequest).kv.get(
            "key"
        )
    span = instrumented.span
    assert (span.attributes or {})["network.peer.address"] == str(path)
    assert "network.peer.port" not in (span.attributes or {})
    lands(span, wait=0.3)


class _unix_agent:  # noqa: N801
    """Answers one GET on a unix socket, after 0.3 s."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()

    def __enter__(self) -> None:
        threading.Thread(target=self._serve, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        with sock:
            sock.recv(65536)
            time.sleep(0.3)
            sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            sock.recv(1)
