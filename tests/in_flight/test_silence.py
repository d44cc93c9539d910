"""A call that hangs: whose silence is it, and would anybody ever notice?"""

from __future__ import annotations

import io
import socket
import threading
from contextlib import suppress
from typing import Any

import consul
import consul.aio
import pytest
import requests
import requests.adapters
import urllib3

import otel_consul
from otel_consul import semconv
from otel_consul.network import tcp_info
from testbed.stub_agent import StubAgent
from tests.support.stalls import eventually
from tests.support.telemetry import Telemetry

KEEP_ALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def guilty(client: Any) -> Any:
    return client.kv.get("hang")


def stalled_spans(telemetry: Telemetry) -> list[Any]:
    return [span for span in telemetry.all_spans if span.name.endswith(" stalled")]


def test_a_call_that_hangs_says_whose_silence_it_is(stub: StubAgent, telemetry: Telemetry) -> None:
    """In the log, in the child span, in the list, in the dump and on the metric."""
    if not tcp_info.AVAILABLE:
        pytest.skip("needs Linux")
    stub.fault("/v1/kv/hang", stop="hang")
    telemetry.instrument(stall_threshold=0.3)

    def call() -> None:
        with suppress(Exception):
            guilty(consul.Consul(port=stub.port))

    thread = threading.Thread(target=call)
    thread.start()
    try:
        (stalled,) = eventually(lambda: [span for span in telemetry.all_spans if span.name == "kv.get stalled"], 10.0)[
            :1
        ]
        attributes = dict(stalled.attributes or {})
        assert attributes[semconv.NETWORK_STATE] == "acknowledged"
        assert attributes[semconv.NETWORK_RETRANSMITS] == 0
        assert 0 < float(attributes[semconv.NETWORK_SILENT_FOR]) < 10  # type: ignore[arg-type]
        (call,) = otel_consul.open_calls()
        assert (call.network_state, call.network_retransmits) == ("acknowledged", 0)
        assert call.network_silent_for is not None
        text = io.StringIO()
        otel_consul.dump_open_calls(text)
        assert "network acknowledged" in text.getvalue()
        points = {p[semconv.NETWORK_STATE]: n for p, n in telemetry.points("consul.client.stalled_operations")}
        assert points == {"unknown": 0, "acknowledged": 1}
    finally:
        stub.heal()
        thread.join(10)
    points = {p[semconv.NETWORK_STATE]: n for p, n in telemetry.points("consul.client.stalled_operations")}
    assert points == {"unknown": 0, "acknowledged": 0}


def test_a_connection_that_nobody_would_notice_to_be_dead_is_told_of_once(
    stub: StubAgent, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """No deadline, and no keep-alive: with either, nothing is said."""
    if not tcp_info.AVAILABLE:
        pytest.skip("needs Linux")

    class KeepAlive(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            options = [*urllib3.connection.HTTPConnection.default_socket_options, KEEP_ALIVE]
            super().init_poolmanager(*args, **kwargs, socket_options=options)

    stub.fault("/v1/kv/hang", stop="hang")
    telemetry.instrument(stall_threshold=0.2)
    clients = [consul.Consul(port=stub.port) for _ in range(4)]
    if not hasattr(clients[0].http, "timeout"):
        pytest.skip("no time-out can be set on this client")
    for client in clients[:3]:
        client.http.timeout = lambda *_: None  # as connections_timeout=None
    clients[2].http.session.mount("http://", KeepAlive())

    def call(client: Any) -> None:
        with suppress(Exception):
            guilty(client)

    threads = [threading.Thread(target=call, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(stalled_spans(telemetry)) >= len(clients), 10.0)
    finally:
        stub.heal()
        for thread in threads:
            thread.join(10)
    told = [record.getMessage() for record in caplog.records if "TCP keep-alive" in record.getMessage()]
    assert len(told) == 1, "two calls from one place"
    assert told[0].startswith("kv.get at ")
    assert "mount an HTTPAdapter" in told[0]
