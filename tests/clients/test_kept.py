"""The proxy lives with its client: it dies with it, and leaves it as it was."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

import pytest

from otel_consul.clients.seam import TransportProxy
from tests.support.fake_client import OK, Transport, observed, value_of
from tests.support.telemetry import Telemetry

PATH = "/v1/kv/a"


def test_client_its_transport_refers_to_dies(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        vars(client)["http"].owner = client
        client.http.get(value_of, PATH)
        gone = [weakref.ref(client), weakref.ref(vars(client)["http"])]
        del client
        gc.collect()
        assert [reference() for reference in gone] == [None, None]
        assert library.seam._kept == {}


def test_client_is_as_before(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        before = {"http": vars(client)["http"]}
        client.http.get(value_of, PATH)
        copies = [copy.copy(client), copy.deepcopy(client)]
        for made in copies:
            made.http.get(value_of, PATH)
        made.http = Transport()
    assert vars(client) == before
    for made in copies:
        assert type(made.http) is Transport
        assert made.http is vars(made)["http"]
    assert not [
        found for found in gc.get_objects() if type(found) is TransportProxy and found.__wrapped__ is client.http
    ]


def test_clients_copy_is_observed_by_a_later_plugin(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        client.http.get(value_of, PATH)
        twin = copy.copy(client)
    with observed(telemetry) as library:
        twin.__class__ = library.owner
        twin.http.get(value_of, PATH)
        assert twin.http is twin.http
    assert len(telemetry.spans) == 2


def test_client_that_cannot_be_referred_to_weakly(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:

        class Slots:
            __slots__ = ("__dict__",)

        owner = type("Consul", (Slots,), {"__slots__": (), "__module__": "fake"})
        library.seam.remove()
        again = type(library.seam)(
            library.seam.client, library.recorder.observer(library.seam.client), library.recorder.transport_of
        )
        again.apply(owner)
        client = owner()
        client.http = Transport()
        assert client.http is client.http
        assert client.http.get(value_of, PATH) == OK.body
        again.remove()
        assert type(client.http) is Transport
    assert len(telemetry.spans) == 1


def test_threads_get_the_same_proxy(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        for _ in range(50):
            client, seen, gate = library.owner(), [], threading.Barrier(4)
            vars(client)["http"] = Transport()

            def look(client: Any = client, seen: Any = seen, gate: Any = gate) -> None:
                gate.wait()
                seen.append(client.http)

            threads = [threading.Thread(target=look) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert {id(found) for found in seen} == {id(client.http)}


class Called(Transport):
    def __call__(self) -> str:
        return "called"


class Awaited(Transport):
    def __await__(self) -> Any:
        return iter(())


class Iterated(Transport):
    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


@pytest.mark.parametrize("kind", [Transport, Called, Awaited, Iterated])
def test_proxy_has_the_special_methods_the_object_has(kind: type[Transport], telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.owner()
        client.http = kind()
        proxy = client.http
        client.http = proxy  # whichever class it has, a proxy is never stored
        assert type(vars(client)["http"]) is kind
        for what in (Callable, Awaitable, AsyncIterable):
            assert isinstance(proxy, what) == isinstance(kind(), what)
            assert (type(proxy).__name__, callable(proxy)) == ("TransportProxy", callable(kind()))

        async def use() -> None:
            if kind is Awaited:
                assert await proxy is None
            elif kind is Iterated:
                assert [found async for found in proxy] == []
            elif kind is Called:
                assert proxy() == "called"

        with pytest.raises(StopIteration):
            use().send(None)
        client.http.get(value_of, PATH)
    assert len(telemetry.spans) == 1
