"""Every operation of the table, on a real Consul: what it is called, and what its span says of the answer."""

from __future__ import annotations

import base64
import re
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from otel_consul import semconv
from otel_consul.consul_api.endpoints import ROWS
from otel_consul.metrics import definitions
from otel_consul.semconv import Outcome
from otel_consul.transports import qualified_name
from testbed import consul as testbed_consul
from testbed.consul import ConsulAgent
from tests.integration.calls import PLAIN, Call, raw
from tests.integration.more_calls import ABSENT, ACCESS, ELSEWHERE, MESH, PUBLIC_KEY
from tests.support.telemetry import Telemetry

consul = pytest.importorskip("consul")
pytest.importorskip("consul.api.discovery_chain", reason="py-consul of these years has the most methods")
pytestmark = pytest.mark.integration

GOSSIP_KEY = base64.b64encode(b"k" * 32).decode()
NAMES = {"key": semconv.KV_KEY, "service": semconv.SERVICE_NAME, "node": semconv.NODE_NAME}
ROW_OF = {(name, method, template): marks for name, method, template, marks in ROWS}


def test_every_row_is_called_or_known_to_be_absent() -> None:
    called = {(call.operation, row_of(call)[2]) for call in (*PLAIN, *MESH, *ACCESS)}
    rows = {(name, template) for name, _, template, _ in ROWS}

    missing = {(name, template) for name, template in rows - called if name not in ABSENT | ELSEWHERE}
    assert not missing
    assert not {name for name, _ in called} & set(ABSENT)
    assert set(ABSENT) | set(ELSEWHERE) <= {name for name, _ in rows}


def row_of(call: Call) -> tuple[str, str, str]:
    """(name, method, template) of the one row this call is of."""
    rows = [
        (name, method, template)
        for name, method, template, _ in ROWS
        if name == call.operation
        and call.template in ("", template)
        and (call.method in ("", method) or not any((name, call.method, template) == row[:3] for row in ROWS))
    ]
    (row,) = rows[:1] if len({template for _, _, template in rows}) == 1 else rows
    return row


def test_plain_and_mesh(consul_program: Any, instrumented: Telemetry) -> None:
    config = {"encrypt": GOSSIP_KEY, "performance": {"raft_multiplier": 1, "leave_drain_time": "0s"}}
    with testbed_consul.agent(config) as agent:
        make_all((*PLAIN, *MESH), agent, instrumented)


def test_access_control(consul_program: Any, instrumented: Telemetry) -> None:
    with testbed_consul.acl_agent() as agent:  # of its own: it is told another default token
        make_all(ACCESS, agent, instrumented)


def make_all(calls: tuple[Call, ...], agent: ConsulAgent, telemetry: Telemetry) -> None:
    client = consul.Consul(port=agent.port, token=agent.token)
    w = SimpleNamespace(key=GOSSIP_KEY, jwt={"JWTValidationPubKeys": [PUBLIC_KEY]})
    for call in calls:
        telemetry.clear()
        raised: BaseException | None = None
        try:
            call.make(client, w)
        except Exception as error:
            raised = error
        assert len(telemetry.spans) == 1, (call.operation, raised)
        check(telemetry, call, agent, raised)
    assert telemetry.total(definitions.OPERATIONS.name) == telemetry.total(definitions.DURATION.name) == len(calls)
    counted = Counter[str]()
    for point, value in telemetry.points(definitions.DURATION.name):
        counted[point[semconv.OPERATION]] += value
    assert counted == Counter(call.operation for call in calls)


def check(telemetry: Telemetry, call: Call, agent: ConsulAgent, raised: BaseException | None) -> None:
    span = telemetry.span
    attributes = dict(span.attributes or {})
    name, method, template = row_of(call)
    got = {
        "name": span.name,
        semconv.OPERATION: attributes[semconv.OPERATION],
        semconv.URL_TEMPLATE: attributes[semconv.URL_TEMPLATE],
        semconv.HTTP_REQUEST_METHOD: attributes[semconv.HTTP_REQUEST_METHOD],
        semconv.OUTCOME: attributes[semconv.OUTCOME],
        semconv.MODE: attributes.get(semconv.MODE),
        "names": {short: attributes[long] for short, long in NAMES.items() if long in attributes},
        semconv.SERVER_PORT: attributes[semconv.SERVER_PORT],
        semconv.DEADLINE: attributes[semconv.DEADLINE],
        "failed": not span.status.is_unset,
    }
    assert got == {
        "name": name,
        semconv.OPERATION: name,
        semconv.URL_TEMPLATE: template,
        semconv.HTTP_REQUEST_METHOD: call.method or method,
        semconv.OUTCOME: call.outcome,
        semconv.MODE: call.mode,
        "names": call.names,
        semconv.SERVER_PORT: agent.port,
        semconv.DEADLINE: semconv.Deadline.PER_READ,
        "failed": call.outcome == Outcome.ERROR,
    }, (call.operation, raised)
    status = attributes[semconv.HTTP_RESPONSE_STATUS_CODE]
    assert status == call.status or (call.status is None and status in (200, 429))
    if call.outcome == Outcome.ERROR:
        assert attributes[semconv.ERROR_TYPE] == (str(status) if status >= 400 else qualified_name(type(raised)))
        told = f"HTTP {status}" if raised is None else type(raised).__name__
        assert (span.status.description or "").startswith(told)
    else:
        assert semconv.ERROR_TYPE not in attributes
    assert semconv.BLOCKING not in attributes
    # what blocks sends an index: all but two, which the table knows to block and which send none, or a hash
    if "B" in ROW_OF.get((name, call.method or method, template), "") and status == 200:
        index = attributes.get(semconv.RESPONSE_INDEX)
        if name not in WITHOUT_INDEX:
            assert isinstance(index, int), name
            assert index > 0, name


WITHOUT_INDEX = {"connect.intentions.match", "event.list", "discovery_chain.get"}


def test_what_this_consul_lacks_is_named_all_the_same(consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    client = consul.Consul(port=consul_agent.port)
    for name, method, template, _ in ROWS:
        if name not in ABSENT:
            continue
        instrumented.clear()
        status, _ = raw(method.lower(), re.sub(r"\{\w+\}", "x", template))(client, SimpleNamespace())
        span = instrumented.span
        attributes = dict(span.attributes or {})
        assert (span.name, attributes[semconv.URL_TEMPLATE]) == (name, template)
        assert attributes[semconv.HTTP_RESPONSE_STATUS_CODE] == status
        if testbed_consul.version() == (1, 8):
            assert status >= 400, (name, ABSENT[name])


def test_stream_is_named(consul_agent: ConsulAgent, instrumented: Telemetry) -> None:
    client = consul.Consul(port=consul_agent.port, connections_timeout=0.3)

    with pytest.raises(Exception):  # noqa: B017 -- the log says nothing for so long; the exception is requests'
        client.agent.monitor(loglevel="err")

    attributes = dict(instrumented.span.attributes or {})
    assert (instrumented.span.name, attributes[semconv.OUTCOME]) == ("agent.monitor", Outcome.TIMEOUT)
    assert semconv.BLOCKING not in attributes
