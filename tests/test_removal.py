"""After `uninstrument()`: nothing patched, nothing running, nothing kept alive."""

from __future__ import annotations

import contextvars
import gc
import importlib
import logging
import os
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from otel_consul.call.observed_call import ObservedCall
from otel_consul.call.recorder import Recorder
from otel_consul.clients.seam import Seam, TransportProxy
from testbed.stub_agent import StubAgent
from tests.support.fake_client import OK, observed, value_of
from tests.support.telemetry import Telemetry

consul = pytest.importorskip("consul")
base = importlib.import_module("consul.base")


@pytest.fixture
def kv(stub: StubAgent) -> StubAgent:
    stub.put("a", "1")
    return stub


def library_classes() -> Iterator[tuple[str, type]]:
    """Every class of the libraries that could be patched, as far as they are imported."""
    wanted = ("consul", "consulate", "urllib3", "requests", "aiohttp", "http.client", "asyncio", "tornado", "socket")
    for name, module in sorted(sys.modules.items()):
        if name.startswith(wanted) and module is not None:
            for attribute, value in sorted(vars(module).items()):
                if isinstance(value, type) and value.__module__ == name:
                    yield f"{name}.{attribute}", value


def patchable() -> dict[str, Any]:
    """Every attribute of those classes and every function of their modules, by name."""
    found: dict[str, Any] = {}
    for name, owner in library_classes():
        found.update({f"{name}.{attribute}": value for attribute, value in vars(owner).items() if callable(value)})
        found[f"{name}.http"] = vars(owner).get("http")
    for name, module in sorted(sys.modules.items()):
        if name.startswith(("asyncio", "urllib3", "socket", "http.client")) and module is not None:
            found.update({f"{name}.{key}": value for key, value in vars(module).items() if callable(value)})
    return found


def import_all() -> None:
    for name in ("requests", "urllib3.connection", "urllib3.connectionpool", "aiohttp", "consul.aio", "consulate"):
        try:
            importlib.import_module(name)
        except Exception:
            continue


def test_everything_is_as_before(kv: StubAgent, telemetry: Telemetry) -> None:
    import_all()
    consul.Consul(port=kv.port).kv.get("a")
    before, own, threads = patchable(), dict(vars(base.Consul)), set(threading.enumerate())

    telemetry.instrument()
    consul.Consul(port=kv.port).kv.get("a")
    assert dict(vars(base.Consul)) != own
    assert isinstance(vars(base.Consul)["http"], Seam)
    telemetry.uninstrument()

    assert dict(vars(base.Consul)) == own
    after = patchable()
    assert [name for name, value in before.items() if after.get(name) is not value] == []
    ours = [t for t in set(threading.enumerate()) - threads if t.name.startswith("otel-consul")]
    for thread in ours:
        thread.join(5)
    assert not [thread for thread in ours if thread.is_alive()]


def process_wide() -> dict[str, Any]:
    """What a plugin could leave in the interpreter itself."""
    return {
        "gc": list(gc.callbacks),
        "signal": signal.getsignal(signal.SIGUSR2),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook),
        "switch": sys.getswitchinterval(),
        "tracing": (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()),
        "environ": dict(os.environ),
        "logging": (list(logging.getLogger("otel_consul").handlers), logging.getLogger("otel_consul").level),
        "timeout": socket.getdefaulttimeout(),
    }


def test_interpreter_is_as_before(kv: StubAgent, telemetry: Telemetry) -> None:
    telemetry.instrument(dump_signal="SIGUSR2")  # the first time may leave what cannot be removed, once
    telemetry.uninstrument()
    before = process_wide()
    for _ in range(3):
        telemetry.instrument(dump_signal="SIGUSR2")
        consul.Consul(port=kv.port).kv.get("a")
        telemetry.uninstrument()

    assert process_wide() == before


def reachable(*kinds: type) -> list[Any]:
    gc.collect()
    return [found for found in gc.get_objects() if type(found) in kinds]


def test_nothing_of_ours_is_reachable(kv: StubAgent, telemetry: Telemetry) -> None:
    already = {id(found) for found in reachable(Recorder, ObservedCall, TransportProxy)}
    for _ in range(3):
        telemetry.instrument()
        client = consul.Consul(port=kv.port)
        client.kv.get("a")
        client.kv.get("none")
        telemetry.uninstrument()
        client.kv.get("a")

    left = [found for found in reachable(Recorder, ObservedCall, TransportProxy) if id(found) not in already]
    assert [type(found).__name__ for found in left] == []
    assert len(telemetry.spans) == 6


def test_proxy_the_user_kept_passes_on_and_keeps_nothing_else(kv: StubAgent, telemetry: Telemetry) -> None:
    already = {id(found) for found in reachable(Recorder, ObservedCall)}
    telemetry.instrument()
    client = consul.Consul(port=kv.port)
    kept, get = client.http, client.http.get
    telemetry.uninstrument()

    assert client.http is not kept
    assert kept.get(lambda response: response.code, "/v1/kv/a") == 200
    assert get(lambda response: response.code, "/v1/kv/a") == 200
    assert telemetry.spans == []
    assert [found for found in reachable(Recorder, ObservedCall) if id(found) not in already] == []

    telemetry.instrument()  # a proxy from an earlier life is not observed by a later one
    assert kept.get(lambda response: response.code, "/v1/kv/a") == 200
    assert telemetry.spans == []
    client.http = kept  # nor wrapped twice
    client.kv.get("a")
    assert len(telemetry.spans) == 1


def test_clients_die(kv: StubAgent, telemetry: Telemetry) -> None:
    telemetry.instrument()
    dead = []
    for _ in range(20):
        client = consul.Consul(port=kv.port)
        client.kv.get("a")
        dead.append(weakref.ref(client))
    alive = weakref.ref(client)
    telemetry.uninstrument()

    gc.collect()
    assert [reference() for reference in dead[:-1]] == [None] * 19
    assert alive() is client
    del client
    gc.collect()
    assert alive() is None


def test_providers_die(kv: StubAgent) -> None:
    telemetry = Telemetry()
    telemetry.instrument()
    consul.Consul(port=kv.port).kv.get("a")
    telemetry.uninstrument()
    providers = [weakref.ref(telemetry.tracer_provider), weakref.ref(telemetry.meter_provider)]
    telemetry.shutdown()

    del telemetry
    gc.collect()

    assert [reference() for reference in providers] == [None, None]


def test_finished_call_that_something_holds_keeps_nothing(telemetry: Telemetry) -> None:
    """aiohttp's timers keep the context they were set in, and the call in it, for minutes."""
    contexts: list[contextvars.Context] = []

    def work() -> Any:
        contexts.append(contextvars.copy_context())
        return OK

    def use() -> list[weakref.ref[Any]]:
        with observed(telemetry) as library:
            client = library.client(work)
            client.http.get(value_of, "/v1/kv/a")
            library.client(lambda: client.http.get(value_of, "/v1/kv/b") and OK).http.get(value_of, "/v1/kv/c")
            return [weakref.ref(client), weakref.ref(vars(client)["http"]), weakref.ref(library.recorder)]

    gone = use()
    gc.collect()

    assert len(contexts) == 2
    assert [reference() for reference in gone] == [None] * 3
