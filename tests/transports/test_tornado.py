"""What tornado tells of its requests, as phases."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.stub_agent import StubAgent
from tests.clients.drivers import Tornado
from tests.support.phases import DELAY, lands, partitions, phases
from tests.support.telemetry import Telemetry

httpclient = pytest.importorskip("tornado.httpclient")

STYLES = ("tornado",)


def on_curl(driver: Tornado, client: Any) -> None:
    """Have the client's requests made by libcurl."""
    curl = pytest.importorskip("tornado.curl_httpclient")

    async def make() -> Any:
        return curl.CurlAsyncHTTPClient(force_instance=True)

    client.http.client.close()
    client.http.client = driver.loop.run_until_complete(make())


def test_the_time_in_the_queue_is_pool_and_the_rest_other(
    instrumented: Telemetry, stub: StubAgent, driver: Tornado
) -> None:
    client = driver.make(stub.port)
    client.http.client.max_clients = 1
    stub.fault("/v1/kv/key", delay=DELAY)
    driver.many(client, 2, 2, "kv.get", "key")
    first, second = instrumented.spans
    assert phases(first)["pool"] < DELAY / 2
    lands(first, other=DELAY)
    lands(second, pool=DELAY, other=DELAY)


def test_a_missing_key_has_its_queue_too(instrumented: Telemetry, stub: StubAgent, driver: Tornado) -> None:
    """Tornado raises for a 404; its timings are in the exception's response."""
    client = driver.make(stub.port)
    client.http.client.max_clients = 1
    stub.fault("/v1/kv/missing", delay=DELAY)
    driver.many(client, 2, 2, "kv.get", "missing")
    lands(instrumented.spans[1], pool=DELAY, other=DELAY)


def test_a_redirect_is_a_resend(instrumented: Telemetry, stub: StubAgent, driver: Tornado) -> None:
    client = driver.make(stub.port)
    stub.fault("/v1/kv/old", redirect=f"{stub.base_url}/v1/kv/new")
    driver.call(client, "kv.get", "old")
    assert (instrumented.span.attributes or {})["http.request.resend_count"] == 1
    partitions(instrumented.span)


def test_libcurl_tells_all(instrumented: Telemetry, stub: StubAgent, driver: Tornado) -> None:
    client = driver.make(stub.port)
    on_curl(driver, client)
    stub.put("key", "x" * 60)
    stub.fault("/v1/kv/key", delay=DELAY, drip_bytes=50, drip_every=0.1)
    driver.call(client, "kv.get", "key")
    lands(instrumented.span, wait=DELAY, receive=0.3)


def test_uninstrument_restores_it(telemetry: Telemetry) -> None:
    before = httpclient.AsyncHTTPClient.fetch
    telemetry.instrument()
    assert httpclient.AsyncHTTPClient.fetch is not before
    telemetry.uninstrument()
    assert httpclient.AsyncHTTPClient.fetch is before
