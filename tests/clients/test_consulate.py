"""What only consulate does: no callback to wrap, an adapter of the user's own, and a `kv.set` that is two requests."""

from __future__ import annotations

from typing import Any

import pytest

from otel_consul import semconv
from otel_consul.metrics import definitions
from testbed.stub_agent import StubAgent
from tests.support.telemetry import Telemetry

consulate = pytest.importorskip("consulate", exc_type=ImportError)


class ScriptedAdapter:
    """Gives or raises what it was told to."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def get(self, _uri: str) -> Any:
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def client_of(result: Any) -> Any:
    return consulate.Consul("127.0.0.1", 8500, adapter=lambda: ScriptedAdapter(result))


def test_value_is_the_same_object(instrumented: Telemetry) -> None:
    response = consulate.api.Response(200, b'{"a": "b"}', {})
    client = client_of(response)

    assert client.status._adapter.get("http://127.0.0.1:8500/v1/status/leader") is response
    assert client.status.leader() is response.body
    assert [span.name for span in instrumented.spans] == ["status.leader"] * 2


def test_exception_is_the_same_object(instrumented: Telemetry) -> None:
    prepared = ValueError("prepared")

    with pytest.raises(ValueError, match="prepared") as caught:
        client_of(prepared).kv.get("a")

    assert caught.value is prepared
    assert (instrumented.span.attributes or {})[semconv.ERROR_TYPE] == "ValueError"


def test_set_reads_and_writes(stub: StubAgent, instrumented: Telemetry) -> None:
    client = consulate.Consul("127.0.0.1", stub.port)

    client.kv.set("app/a", "1")

    assert [span.name for span in instrumented.spans] == ["kv.get", "kv.put"]
    assert [(span.attributes or {}).get(semconv.MODE) for span in instrumented.spans] == [None, "cas"]
    assert instrumented.total(definitions.DURATION.name) == 2


def test_adapter_around_the_clients_own_is_one_request(stub: StubAgent, instrumented: Telemetry) -> None:
    stub.put("a", "1")

    class Retrying:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def get(self, uri: str, timeout: Any = None) -> Any:
            return self.inner.get(uri)

    endpoint = consulate.Consul("127.0.0.1", stub.port).kv
    inner = endpoint._adapter
    endpoint._adapter = Retrying(inner)

    assert endpoint.get("a")  # decoded on Python 3.8 only: consulate's own bug
    assert len(instrumented.spans) == 1
    assert instrumented.total(definitions.OPERATIONS.name) == 1
    inner.get(f"http://127.0.0.1:{stub.port}/v1/kv/a")
    assert len(instrumented.spans) == 2


def test_a_uri_that_is_no_text_is_an_operation_all_the_same(instrumented: Telemetry, stub: StubAgent) -> None:
    """consulate 0.6.0 hands the adapter a list in `catalog.register`, its own fault."""
    client = consulate.Consul(port=stub.port)
    with pytest.raises(Exception):  # noqa: B017 -- whatever it raises without the plugin
        client.catalog.register("node", "127.0.0.1")
    (span,) = instrumented.spans
    assert (span.attributes or {})[semconv.OPERATION] == "other"
    assert instrumented.total(definitions.OPERATIONS.name) == 1
    assert instrumented.total(definitions.DURATION.name, **{semconv.OUTCOME: "error"}) == 1
