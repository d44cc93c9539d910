"""Where the seconds of a span went, and whether that is where they were lost; what else these tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from otel_consul.semconv import PHASES
from otel_consul.transports.signals import Signals
from tests.clients.drivers import Driver
from tests.support.telemetry import Telemetry

DELAY = 0.5
DRIP = 0.3
"""What it takes `drip_bytes=50, drip_every=0.1` at least to send a key of 60 bytes: more than three pieces."""
RIGHT = 0.95
"""The share of an injected delay that must land in its phase."""


def warm(instrumented: Telemetry, client: Any, driver: Driver) -> None:
    """A connection is open from now on, where the client keeps one."""
    driver.call(client, "kv.get", "warm")
    instrumented.clear()


def mount(client: Any, adapter: Any) -> None:
    """Have requests' adapter `adapter` send what `client` asks."""
    client.http.session.mount("http://", adapter)


def session_of(client: Any) -> Any:
    """The client's aiohttp session, where it keeps one."""
    session = getattr(client.http, "_session", None)
    if session is None:
        pytest.skip("this client makes a session for each call")
    return session


def wrapped_places(signals: Signals) -> dict[str, Any]:
    """What the signals wrap, as it is now; absent where a class only inherits it."""
    places = {}
    for wrap in signals._wraps:
        path, _, name = wrap.name.rpartition(".")
        module = sys.modules[wrap.module]
        places[f"{wrap.module}.{wrap.name}"] = vars(getattr(module, path) if path else module).get(name)
    return places


def phases(span: ReadableSpan) -> dict[str, float]:
    """Seconds by phase; those that are absent are 0."""
    attributes = span.attributes or {}
    seconds = {phase: attributes.get(f"consul.phase.{phase}", 0.0) for phase in PHASES}
    return {phase: value for phase, value in seconds.items() if isinstance(value, float)}


def duration(span: ReadableSpan) -> float:
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) / 1e9


def partitions(span: ReadableSpan) -> None:
    """The phases add up to the duration, within 1 %."""
    assert sum(phases(span).values()) == pytest.approx(duration(span), rel=0.01)


def lands(span: ReadableSpan, **injected: float) -> None:
    """Each injected delay (`wait=0.5`) is in its phase.

    So little of it is in any other, for the phases add up to the duration. What else there is, is not asked: a busy
    machine adds to any phase. `benchmarks/attribution` measures that.
    """
    found = phases(span)
    partitions(span)
    for phase, seconds in injected.items():
        assert found[phase] >= seconds * RIGHT, f"{phase}: less than {seconds} in {found}"


def mostly(span: ReadableSpan, phase: str) -> None:
    """A call whose end is not ours to time spent its time in this phase."""
    found = phases(span)
    partitions(span)
    assert found[phase] > duration(span) / 2, found


@contextmanager
def slow_names(monkeypatch: Any, seconds: float, *names: str) -> Iterator[None]:
    """Meanwhile these names mean 127.0.0.1, and it takes so long to find out."""
    import socket

    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in names:
            return real(host, *args, **kwargs)
        sleep(seconds)
        return real("127.0.0.1", *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@contextmanager
def slow_sends(monkeypatch: Any, seconds: float) -> Iterator[None]:
    """Meanwhile `http.client` takes so long to write a request."""
    import http.client

    real = http.client.HTTPConnection.endheaders

    def endheaders(self: Any, *args: Any, **kwargs: Any) -> Any:
        sleep(seconds)
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(http.client.HTTPConnection, "endheaders", endheaders)
        yield
