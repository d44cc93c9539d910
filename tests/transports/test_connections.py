"""What is said of connections: of the last one really made, and nothing where nobody measures it."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.stub_agent import StubAgent, refused_port
from tests.clients import drivers
from tests.clients.drivers import Driver
from tests.support.telemetry import Telemetry

KEYS = ("network.peer.address", "network.peer.port", "consul.connection.reused")
OPENED, RETRIES = "consul.client.connections.opened", "consul.client.retries"
MEASURED = {"sync": {OPENED, RETRIES}, "asyncio": {OPENED, RETRIES}, "tornado": {RETRIES}, "twisted": set()}
STYLES = tuple(MEASURED)


@pytest.fixture
def telling(driver: Driver) -> Driver:
    """A driver whose transport tells of its connections."""
    if driver.style not in ("sync", "asyncio"):
        pytest.skip("its transport does not tell")
    return driver


def connection(telemetry: Telemetry) -> dict[str, Any]:
    """What the last span says of it."""
    attributes = telemetry.spans[-1].attributes or {}
    return {key: attributes[key] for key in KEYS if key in attributes}


def test_a_refused_call_had_no_connection(instrumented: Telemetry, driver: Driver) -> None:
    assert isinstance(driver.outcome(driver.make(refused_port()), "kv.get", "key"), Exception)
    assert connection(instrumented) == {}


def test_a_name_that_nobody_knows_had_no_connection(
    instrumented: Telemetry, stub: StubAgent, telling: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "HOST", "no-such-host.invalid")
    assert isinstance(telling.outcome(telling.make(stub.port), "kv.get", "key"), Exception)
    assert connection(instrumented) == {}


def test_a_redirect_to_a_host_that_refuses_got_as_far_as_the_first(
    instrumented: Telemetry, stub: StubAgent, telling: Driver
) -> None:
    client = telling.make(stub.port)
    telling.call(client, "kv.get", "warm")
    stub.fault("/v1/kv/key", redirect=f"http://127.0.0.1:{refused_port()}/v1/kv/key")
    telling.outcome(client, "kv.get", "key")
    first = connection(instrumented)
    assert first.pop("network.peer.address") == "127.0.0.1"
    assert first.pop("network.peer.port") == stub.port
    assert first["consul.connection.reused"] is (stub.connections_accepted == 1)


def test_a_redirect_to_another_host_is_about_the_other(
    instrumented: Telemetry, stub: StubAgent, telling: Driver
) -> None:
    client = telling.make(stub.port)
    telling.call(client, "kv.get", "warm")
    with StubAgent() as other:
        stub.fault("/v1/kv/key", redirect=f"http://127.0.0.1:{other.port}/v1/kv/key")
        if isinstance(telling.outcome(client, "kv.get", "key"), Exception):
            pytest.skip("this client follows none")
        assert connection(instrumented) == dict(zip(KEYS, ("127.0.0.1", other.port, False), strict=True))


def metrics(telemetry: Telemetry) -> set[str]:
    return {name for name in (OPENED, RETRIES) if telemetry.points(name)}


def test_only_what_a_transport_tells_is_counted(instrumented: Telemetry, stub: StubAgent, driver: Driver) -> None:
    driver.call(driver.make(stub.port), "kv.get", "key")
    assert metrics(instrumented) == MEASURED[driver.style]
    assert instrumented.total(RETRIES) == 0
    assert instrumented.total(OPENED) == (1 if OPENED in MEASURED[driver.style] else 0)


def test_a_refused_connection_is_no_opened_one(instrumented: Telemetry, telling: Driver) -> None:
    telling.outcome(telling.make(refused_port()), "kv.get", "key")
    assert [value for _, value in instrumented.points(OPENED)] == [0]


def test_with_phases_off_nothing_is_counted(telemetry: Telemetry, stub: StubAgent, driver: Driver) -> None:
    telemetry.instrument(phases=False)
    driver.call(driver.make(stub.port), "kv.get", "key")
    assert metrics(telemetry) == set()
    assert connection(telemetry) == {}


def test_who_does_not_tell_takes_nothing_from_who_does(instrumented: Telemetry, stub: StubAgent) -> None:
    """Calls of one kind to one server, by a transport that tells and by the user's own."""
    if drivers.PlainObject.why_not() is not None:
        pytest.skip("no consul.std here")
    telling = next((d for d in drivers.available() if d.name.endswith("/std")), None)
    if telling is None:
        pytest.skip("no consul.std here")
    driver = telling()
    silent = drivers.plain_object_client(lambda *_, **__: Silent(f"http://127.0.0.1:{stub.port}"))
    silent.kv.get("key")
    assert metrics(instrumented) == set()
    driver.call(driver.make(stub.port), "kv.get", "key")
    silent.kv.get("key")
    assert instrumented.total(OPENED) == 1
    driver.shutdown()


class Silent:
    """A transport that tells nothing."""

    def __init__(self, base_uri: str) -> None:
        self.base_uri = base_uri

    def get(self, callback: Any, path: str, *_: Any, **__: Any) -> Any:
        from consul.base import Response

        return callback(Response(*(404, {"X-Consul-Index": "1"}, "", "")[: len(Response._fields)]))
