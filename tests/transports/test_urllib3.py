"""Phases of calls over requests and urllib3, with delays injected for real."""

from __future__ import annotations

import gzip
import threading
import time
from typing import Any

import pytest

from testbed.stub_agent import StubAgent, backlog_full_port
from tests.clients.drivers import Driver
from tests.support.phases import DELAY, DRIP, lands, mostly, mount, partitions, phases, slow_names, slow_sends, warm
from tests.support.telemetry import Telemetry, events

requests = pytest.importorskip("requests")
urllib3 = pytest.importorskip("urllib3")
from requests.adapters import HTTPAdapter  # noqa: E402

STYLES = ("sync",)


# --- each phase -------------------------------------------------------------------------------------------------------


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


def test_a_compressed_body_arrives_as_without_us(instrumented: Telemetry, stub: StubAgent, std: Driver) -> None:
    client = std.make(stub.port)
    body = gzip.compress(b'"10.0.0.1:8300"')
    stub.fault("/v1/status/leader", body=body, headers={"Content-Encoding": "gzip"}, drip_bytes=10, drip_every=0.02)
    assert client.status.leader() == "10.0.0.1:8300"
    assert phases(instrumented.span)["receive"] > 0.03


# --- errors -----------------------------------------------------------------------------------------------------------


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
