"""Phases of calls over requests and urllib3, with delays injected for real."""

from __future__ import annotations

import gzip
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_consul import ConsulInstrumentor
from otel_consul.phases import CURRENT, Clock
from testbed.stub_agent import StubAgent, backlog_full_port
from tests.clients import drivers
from tests.clients.drivers import Driver
from tests.phases.attribution import duration, lands, mostly, partitions, phases, slow_names, slow_sends
from tests.support.telemetry import Telemetry, events

requests = pytest.importorskip("requests")
urllib3 = pytest.importorskip("urllib3")
from requests.adapters import HTTPAdapter  # noqa: E402

DELAY = 0.5
DRIP = 0.3
"""What it takes `drip_bytes=50, drip_every=0.1` at least to send a key of 60 bytes: more than three pieces."""


@pytest.fixture(
    params=[d for d in drivers.available() if d.style == "sync" and "plain-object" not in d.name], ids=lambda d: d.name
)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    driver: Driver = request.param()
    yield driver
    driver.shutdown()


@pytest.fixture
def std() -> Driver:
    """The driver of `consul.std`, whichever distribution gives it."""
    for driver in drivers.available():
        if driver.name.endswith("/std"):
            return driver()
    pytest.skip("no consul.std here")


def mount(client: Any, adapter: Any) -> None:
    client.http.session.mount("http://", adapter)


def warm(instrumented: Telemetry, client: Any, driver: Driver) -> None:
    """A connection is open from now on."""
    driver.call(client, "kv.get", "warm")
    instrumented.clear()


# --- each phase -----------------------------------------------------------------------------------------------------


def test_a_slow_server_is_wait(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    client = driver.make(stub.port)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", delay=DELAY)
    driver.call(client, "kv.get", "key")
    lands(instrumented.span, wait=DELAY)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_dripping_body_is_receive(instrumented: Telemetry, stub: StubAgent, driver: Driver, chunked: bool) -> None:
    client = driver.make(stub.port)
    stub.put("key", "x" * 60)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", drip_bytes=20, drip_every=0.05, chunked=chunked)
    driver.call(client, "kv.get", "key")
    span = instrumented.span
    partitions(span)
    assert phases(span)["receive"] >= 0.95 * (duration(span) - 0.06), phases(span)


def test_a_slow_name_is_dns(
    instrumented: Telemetry, stub: StubAgent, std: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    import consul

    with slow_names(monkeypatch, DELAY, "consul.test"):
        consul.Consul(host="consul.test", port=stub.port).kv.get("key")
    lands(instrumented.span, dns=DELAY)


def test_a_slow_connect_is_connect_and_where_the_time_out_struck(instrumented: Telemetry, std: Driver) -> None:
    class Impatient(HTTPAdapter):  # type: ignore[misc]
        def send(self, *args: Any, **kwargs: Any) -> Any:
            return super().send(*args, **{**kwargs, "timeout": DELAY})

    with backlog_full_port() as port:
        client = std.make(port)
        mount(client, Impatient())
        with pytest.raises(requests.ConnectionError):
            client.kv.get("key")
    span = instrumented.span
    lands(span, connect=DELAY)
    assert events(span)["consul.timeout"]["consul.phase"] == "connect"
    assert "consul.connection.opened" not in (span.attributes or {})
    assert instrumented.total("consul.client.connections.opened") == 0


def test_a_slow_handshake_is_tls(instrumented: Telemetry, std: Driver) -> None:
    import consul

    with StubAgent(tls=True, delay_handshake=DELAY) as agent:
        client = consul.Consul(port=agent.port, scheme="https", verify=str(agent.ca_file))
        client.kv.get("key")
        client.kv.get("key")
        client.http.session.close()
    first, second = instrumented.spans
    lands(first, tls=DELAY)
    assert phases(second)["tls"] == phases(second)["connect"] == 0
    assert (second.attributes or {})["consul.connection.reused"] is True


def test_a_failed_handshake_struck_in_tls(instrumented: Telemetry, std: Driver) -> None:
    import consul

    with StubAgent(tls=True, delay_handshake=DELAY) as agent:
        client = consul.Consul(port=agent.port, scheme="https")
        with pytest.raises(requests.exceptions.SSLError):
            client.kv.get("key")
    lands(instrumented.span, tls=DELAY)


def test_a_slow_write_is_send(
    instrumented: Telemetry, stub: StubAgent, std: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = std.make(stub.port)
    warm(instrumented, client, std)
    with slow_sends(monkeypatch, DELAY):
        client.kv.get("key")
    lands(instrumented.span, send=DELAY)


def test_an_exhausted_pool_is_pool(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
    client = std.make(stub.port)
    mount(client, HTTPAdapter(pool_connections=1, pool_maxsize=1, pool_block=True))
    warm(instrumented, client, std)
    slow = stub.fault("/v1/kv/slow", delay=DELAY)
    holder = threading.Thread(target=client.kv.get, args=("slow",))
    holder.start()
    slow.wait()
    client.kv.get("key")
    holder.join()
    first, second = instrumented.spans
    lands(first, wait=DELAY)
    mostly(second, "pool")


def test_a_slow_callback_is_decode(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
    client = std.make(stub.port)
    std.through_seam(client, lambda response: time.sleep(DELAY), "/v1/status/leader")
    lands(instrumented.span, decode=DELAY)


def test_consulate_decodes_without_a_callback(
    instrumented: Telemetry, stub: StubAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    consulate = pytest.importorskip("consulate")
    real = consulate.api.Response.__init__

    def slow(self: Any, *args: Any, **kwargs: Any) -> None:
        time.sleep(DELAY)
        real(self, *args, **kwargs)

    monkeypatch.setattr(consulate.api.Response, "__init__", slow)
    consulate.Consul(port=stub.port).kv.get("key")
    lands(instrumented.span, decode=DELAY)


def test_two_delays_of_one_call_are_told_apart(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    client = driver.make(stub.port)
    stub.put("key", "x" * 60)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/key", delay=DELAY, drip_bytes=50, drip_every=0.1)
    driver.call(client, "kv.get", "key")
    found = phases(instrumented.span)
    partitions(instrumented.span)
    assert found["wait"] >= 0.95 * DELAY
    assert found["receive"] >= 0.95 * DRIP


# --- retries and redirects --------------------------------------------------------------------------------------------


def test_retries_add_up_and_back_off_is_other(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
    client = std.make(stub.port)
    warm(instrumented, client, std)
    mount(client, HTTPAdapter(max_retries=urllib3.Retry(3, backoff_factor=0.3, status_forcelist=[503])))
    stub.fault("/v1/kv/key", status=503, times=2, delay=0.2)
    client.kv.get("key")
    span = instrumented.span
    slept = sum(urllib3.Retry(backoff_factor=0.3, history=history).get_backoff_time() for history in _histories(2))
    lands(span, wait=0.4, other=slept)
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
    lands(span, wait=0.4, other=slept)
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


def test_a_back_off_of_the_programs_own_is_other(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
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
    lands(span, other=2 * DELAY)
    assert (span.attributes or {})["http.request.resend_count"] == 2
    assert [next(iter({"error.type", "http.response.status_code"} & set(e.attributes or {}))) for e in span.events] == [
        "error.type",
        "http.response.status_code",
    ]


def test_a_redirect_is_a_resend(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    client = driver.make(stub.port)
    warm(instrumented, client, driver)
    stub.fault("/v1/kv/old", redirect=f"{stub.base_url}/v1/kv/new", delay=0.3)
    stub.fault("/v1/kv/new", delay=0.2)
    if isinstance(driver.outcome(client, "kv.get", "old"), Exception):
        pytest.skip("this client follows none")
    span = instrumented.span
    lands(span, wait=0.5)
    assert (span.attributes or {})["http.request.resend_count"] == 1
    assert events(span)["consul.retry"]["http.response.status_code"] == 302


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


def test_a_compressed_body_arrives_as_without_us(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
    client = std.make(stub.port)
    body = gzip.compress(b'"10.0.0.1:8300"')
    stub.fault("/v1/status/leader", body=body, headers={"Content-Encoding": "gzip"}, drip_bytes=10, drip_every=0.02)
    assert client.status.leader() == "10.0.0.1:8300"
    assert phases(instrumented.span)["receive"] > 0.03


# --- a urllib3 client without requests --------------------------------------------------------------------------------


class PlainTransport:
    """A transport of a user's own on urllib3, as Patroni has one. `preload_content` reads bodies in `getresponse`."""

    def __init__(self, port: int, **options: Any) -> None:
        self.base_uri = f"http://127.0.0.1:{port}"
        self.pool = urllib3.PoolManager(**options)

    def get(self, callback: Any, path: str, params: Any = None, **_: Any) -> Any:
        from consul import base

        response = self.pool.request("GET", self.base_uri + path, retries=urllib3.Retry(2))
        fields = {"code": response.status, "headers": response.headers, "body": response.data.decode(), "content": b""}
        return callback(base.Response(**{name: fields[name] for name in base.Response._fields}))


def plain(port: int) -> Any:
    base = pytest.importorskip("consul.base")

    class Plain(base.Consul):  # type: ignore[misc, name-defined]
        def http_connect(self, host: str, port: int, *_: Any, **__: Any) -> Any:
            return PlainTransport(port)

        connect = http_connect

    return Plain(port=port)


def test_a_preloaded_body_is_receive_all_the_same(instrumented: Telemetry, stub: StubAgent) -> None:
    client = plain(stub.port)
    stub.put("key", "x" * 60)
    client.kv.get("key")
    instrumented.clear()
    stub.fault("/v1/kv/key", delay=0.3, drip_bytes=50, drip_every=0.1)
    client.kv.get("key")
    found = phases(instrumented.span)
    partitions(instrumented.span)
    assert found["wait"] >= 0.95 * 0.3
    assert found["receive"] >= 0.95 * DRIP


def test_urllib3_follows_a_redirect_itself(instrumented: Telemetry, stub: StubAgent) -> None:
    client = plain(stub.port)
    stub.fault("/v1/kv/old", redirect=f"{stub.base_url}/v1/kv/new")
    client.kv.get("old")
    assert (instrumented.span.attributes or {})["http.request.resend_count"] == 1
    assert events(instrumented.span)["consul.retry"]["http.response.status_code"] == 302


# --- errors -------------------------------------------------------------------------------------------------------------


def test_a_body_that_breaks_off_struck_in_receive(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    if not driver.has_timeout:
        pytest.skip("no time-out can be set")
    client = driver.make(stub.port, timeout=DELAY)
    stub.put("key", "x" * 100)
    stub.fault("/v1/kv/key", stop="hang", stop_after="half")
    assert isinstance(driver.outcome(client, "kv.get", "key"), Exception)
    span = instrumented.span
    lands(span, receive=DELAY)
    assert events(span)["consul.timeout"]["consul.phase"] == "receive"


def test_a_read_time_out_struck_in_wait(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    if not driver.has_timeout:
        pytest.skip("no time-out can be set")
    client = driver.make(stub.port, timeout=DELAY)
    stub.fault("/v1/kv/key", stop="hang")
    assert isinstance(driver.outcome(client, "kv.get", "key"), Exception)
    lands(instrumented.span, wait=DELAY)
    assert events(instrumented.span)["consul.timeout"]["consul.phase"] == "wait"


def test_a_call_made_while_handling_an_error_has_its_phases(instrumented: Telemetry, stub: StubAgent) -> None:
    consulate = pytest.importorskip("consulate")
    client = consulate.Consul(port=stub.port)
    client.kv.get("warm")
    instrumented.clear()
    try:
        raise KeyError("key")  # noqa: TRY301
    except KeyError:
        client.kv.get("key")
    assert phases(instrumented.span)["decode"] > 0


# --- other people's HTTP ----------------------------------------------------------------------------------------------


def test_other_http_traffic_gets_nothing(instrumented: Telemetry, stub: StubAgent) -> None:
    assert requests.get(f"{stub.base_url}/v1/status/leader", timeout=5).status_code == 200
    assert instrumented.all_spans == []
    assert CURRENT.get() is None


def test_http_calls_of_hooks_are_no_part_of_the_call(telemetry: Telemetry, stub: StubAgent, std: Driver) -> None:
    slow = f"{stub.base_url}/v1/status/peers"
    stub.fault("/v1/status/peers", delay=0.2)
    telemetry.instrument(
        request_hook=lambda span, call: requests.get(slow, timeout=5),
        response_hook=lambda span, call, response: requests.get(slow, timeout=5),
    )
    client = std.make(stub.port)
    client.kv.get("key")
    span = telemetry.span
    assert phases(span)["wait"] < 0.15
    assert phases(span)["other"] > 0.19  # the request hook's
    assert "http.request.resend_count" not in (span.attributes or {})
    assert telemetry.total("consul.client.connections.opened") == 1


def test_a_finished_clock_in_a_copied_context_is_left_alone(instrumented: Telemetry, stub: StubAgent) -> None:
    clock = Clock()
    clock.start()
    token = CURRENT.set(clock)
    try:
        clock.stop()
        before = list(clock.times)
        requests.get(f"{stub.base_url}/v1/status/leader", timeout=5)
    finally:
        CURRENT.reset(token)
    assert (clock.times, clock.opened, clock.peer, clock.resends) == (before, 0, None, 0)


# --- on and off ---------------------------------------------------------------------------------------------------------


def wrapped_places() -> dict[str, Any]:
    """What the signals wrap, as it is now; absent where a class only inherits it."""
    from otel_consul.transports import urllib3_signals

    places = {}
    for wrap in urllib3_signals.SIGNALS._wraps:
        owner, name = sys.modules[wrap.module], wrap.name
        if "." in name:
            cls, name = name.split(".")
            owner = getattr(owner, cls)
        places[f"{wrap.module}.{wrap.name}"] = vars(owner).get(name)
    return places


def test_uninstrument_restores_everything(telemetry: Telemetry) -> None:
    before = wrapped_places()
    telemetry.instrument()
    assert all(now is not was for now, was in zip(wrapped_places().values(), before.values(), strict=True) if was)
    ConsulInstrumentor().uninstrument()
    assert wrapped_places() == before


def test_phases_off_wraps_nothing(telemetry: Telemetry, stub: StubAgent, std: Driver) -> None:
    before = wrapped_places()
    telemetry.instrument(phases=False)
    assert wrapped_places() == before
    std.make(stub.port).kv.get("key")
    assert not any(key.startswith("consul.phase.") for key in telemetry.span.attributes or {})


def test_a_strangers_wrapper_on_top_survives(telemetry: Telemetry, stub: StubAgent, std: Driver) -> None:
    pool = urllib3.connectionpool.HTTPConnectionPool
    original = pool._get_conn
    telemetry.instrument()
    ours = pool._get_conn
    calls = []

    def stranger(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(self)
        return ours(self, *args, **kwargs)

    pool._get_conn = stranger
    try:
        telemetry.uninstrument()
        assert pool._get_conn is stranger
        client = std.make(stub.port)
        client.kv.get("key")
        assert calls
        telemetry.instrument()  # wraps the stranger's; what is left of the first time must not count again
        client.http.session.close()
        stub.fault("/v1/kv/old", redirect=f"{stub.base_url}/v1/kv/new")
        client.kv.get("old")
        assert (telemetry.span.attributes or {})["http.request.resend_count"] == 1
        assert telemetry.total("consul.client.connections.opened") == 1
        telemetry.uninstrument()
        assert pool._get_conn is stranger
    finally:
        pool._get_conn = original


def test_an_unexpected_shape_costs_one_mark_only(
    telemetry: Telemetry,
    stub: StubAgent,
    std: Driver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delattr(urllib3.util.connection, "_set_socket_options")
    monkeypatch.setattr(
        urllib3.util.connection, "create_connection", lambda address, *_, **__: socket.create_connection(address)
    )
    caplog.set_level("INFO", "otel_consul")
    telemetry.instrument()
    std.make(stub.port).kv.get("key")
    assert [r.message for r in caplog.records if "_set_socket_options" in r.message]
    assert phases(telemetry.span)["connect"] > 0
    partitions(telemetry.span)


def test_a_function_that_takes_more_than_we_know_is_left_alone(
    telemetry: Telemetry,
    stub: StubAgent,
    std: Driver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = urllib3.connectionpool.HTTPConnectionPool._get_conn

    def newer(self: Any, timeout: Any = None, *, patience: int = 0) -> Any:
        return real(self, timeout)

    monkeypatch.setattr(urllib3.connectionpool.HTTPConnectionPool, "_get_conn", newer)
    caplog.set_level("INFO", "otel_consul")
    telemetry.instrument()
    assert urllib3.connectionpool.HTTPConnectionPool._get_conn is newer
    assert [r.message for r in caplog.records if "_get_conn" in r.message]
    std.make(stub.port).kv.get("key")
    partitions(telemetry.span)
