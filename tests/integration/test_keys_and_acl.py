"""Keys as people write them, and what an agent with ACLs refuses."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from otel_consul import semconv
from otel_consul.metrics import definitions
from otel_consul.semconv import Outcome
from testbed.consul import ConsulAgent
from tests.support.telemetry import Telemetry

consul = pytest.importorskip("consul")
pytestmark = pytest.mark.integration

KEYS = (
    "int/a?b",
    "int/a?token=b&c",
    "int/a#b",
    "int/100%",
    "int/%2e%41",
    "int/a b  c",
    "int/a/b/c/",
    "int/grüße/日本/🔑",
    "int/v1/kv/x",
    "int/a+b&c=d;e",
    "int/{key}",
)


@pytest.mark.parametrize("key", KEYS)
def test_key_reaches_consul_and_the_span_as_it_is(key: str, consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    client = consul.Consul(port=consul_agent.port)

    assert client.kv.put(key, "1") is True
    _, found = client.kv.get(key)
    assert client.kv.delete(key) is True

    assert (found["Key"], found["Value"]) == (key, b"1")
    assert [span.name for span in instrumented.spans] == ["kv.put", "kv.get", "kv.delete"]
    for span in instrumented.spans:
        attributes = dict(span.attributes or {})
        assert attributes[semconv.KV_KEY] == key
        assert attributes[semconv.URL_TEMPLATE] == "/v1/kv/{key}"
        assert attributes[semconv.OUTCOME] == Outcome.OK


def test_no_key_at_all(consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    client = consul.Consul(port=consul_agent.port)
    client.kv.put("int-empty", "1")
    instrumented.clear()

    _, keys = client.kv.get("", keys=True)

    assert "int-empty" in keys
    attributes = dict(instrumented.span.attributes or {})
    assert instrumented.span.name == "kv.get"
    assert semconv.KV_KEY not in attributes
    assert attributes[semconv.MODE] == "keys"


@pytest.mark.parametrize(
    ("capture", "expected"), [("full", "int/some/key"), ("prefix", "int"), ("none", None)], ids=str
)
def test_capture_keys(capture: str, expected: str | None, consul_agent: ConsulAgent, telemetry: Telemetry) -> None:
    telemetry.instrument(capture_keys=capture)
    client = consul.Consul(port=consul_agent.port)

    client.kv.get("int/some/key")
    client.health.service("int/some/key")
    client.catalog.node("int/some/key")

    names = (semconv.KV_KEY, semconv.SERVICE_NAME, semconv.NODE_NAME)
    assert [(s.attributes or {}).get(n) for s, n in zip(telemetry.spans, names, strict=True)] == [expected] * 3


def refused(span: Any, telemetry: Telemetry) -> None:
    attributes = dict(span.attributes or {})
    assert attributes[semconv.OUTCOME] == Outcome.ERROR
    assert attributes[semconv.HTTP_RESPONSE_STATUS_CODE] == 403
    assert attributes[semconv.ERROR_TYPE] == "403"
    assert span.status.status_code is StatusCode.ERROR
    for index in (semconv.RESPONSE_INDEX, semconv.RESPONSE_KNOWN_LEADER):
        assert index not in attributes  # Consul sends none with an error
    assert telemetry.total(definitions.DURATION.name, **{semconv.ERROR_TYPE: attributes[semconv.ERROR_TYPE]}) == 1


@pytest.mark.parametrize(
    ("token", "phrase"), [(None, "Permission denied"), ("11111111-2222-3333-4444-555555555555", "ACL not found")]
)
def test_refused_write_is_an_error(
    token: str | None, phrase: str, consul_acl_agent: ConsulAgent, instrumented: Telemetry
) -> None:
    client = consul.Consul(port=consul_acl_agent.port, token=token)

    with pytest.raises(Exception, match=phrase):
        client.kv.put("int/a", "1")

    refused(instrumented.span, instrumented)
    assert phrase in (instrumented.span.status.description or "")
    assert str(token) not in instrumented.text()


def test_filtered_read_is_an_answer(consul_acl_agent: ConsulAgent, instrumented: Telemetry) -> None:
    """Consul hides what a token may not see: nodes are left out, a key is missing. Nobody got an error."""
    client = consul.Consul(port=consul_acl_agent.port)

    assert client.catalog.nodes()[1] == []

    assert (instrumented.span.attributes or {})[semconv.OUTCOME] == Outcome.OK


def test_token_of_one_call_counts(consul_acl_agent: ConsulAgent, instrumented: Telemetry) -> None:
    client = consul.Consul(port=consul_acl_agent.port)

    assert client.kv.put("int/a", "1", token=consul_acl_agent.token) is True

    assert (instrumented.span.attributes or {})[semconv.OUTCOME] == Outcome.OK
    assert str(consul_acl_agent.token) not in instrumented.text()


def test_consistency_and_datacenter(consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    client = consul.Consul(port=consul_agent.port, consistency="stale")

    client.kv.get("int/a")
    client.kv.get("int/a", consistency="consistent", dc="dc1")
    with pytest.raises(Exception, match="No path to datacenter"):
        client.kv.get("int/a", dc="nowhere")

    seen = [dict(span.attributes or {}) for span in instrumented.spans]
    assert [one.get(semconv.CONSISTENCY) for one in seen] == ["stale", "consistent", "stale"]
    assert [one.get(semconv.DATACENTER) for one in seen] == [None, "dc1", "nowhere"]
    assert "No path to datacenter" in (instrumented.spans[2].status.description or "")
    assert "nowhere" not in (instrumented.spans[2].status.description or "")


def test_cached_read_tells_hit_and_age(consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    client = consul.Consul(port=consul_agent.port)

    def read() -> None:
        client.http.get(lambda response: response.code, "/v1/health/service/int-cached", [("cached", "")])

    read()
    read()

    client.agent.connect.ca.leaf("int-leaf")  # always cached, and with fewer other headers
    leaf = dict(instrumented.spans.pop().attributes or {})
    assert leaf[semconv.RESPONSE_CACHE] == "miss"
    assert leaf[semconv.RESPONSE_INDEX] > 0
    assert semconv.CACHED not in leaf

    miss, hit = (dict(span.attributes or {}) for span in instrumented.spans[:2])
    assert miss[semconv.CACHED] is hit[semconv.CACHED] is True
    assert (miss[semconv.RESPONSE_CACHE], hit[semconv.RESPONSE_CACHE]) == ("miss", "hit")
    assert isinstance(hit[semconv.RESPONSE_AGE], float)
    assert hit[semconv.RESPONSE_CONSISTENCY] == "leader"
