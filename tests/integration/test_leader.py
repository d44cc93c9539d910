"""A leader that is stopped or lost, in a real cluster: lateness, the seven seconds, and leaderless reads."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from otel_consul import semconv
from otel_consul.metrics import definitions
from otel_consul.semconv import Outcome
from testbed.consul import Cluster
from tests.support.telemetry import Telemetry

consul = pytest.importorskip("consul")
pytestmark = [pytest.mark.integration, pytest.mark.slow]


def last(telemetry: Telemetry) -> tuple[Any, dict[str, Any], float]:
    """The span that ended last, its attributes, and its seconds."""
    span = telemetry.spans[-1]
    return span, dict(span.attributes or {}), ((span.end_time or 0) - (span.start_time or 0)) / 1e9


def test_stopped_leader_makes_a_blocking_query_late(consul_cluster: Cluster, instrumented: Telemetry) -> None:
    client = consul.Consul(port=consul_cluster.client.port)
    client.kv.put("late/a", "1")
    index, _ = client.kv.get("late/a")
    leader = consul_cluster.leader()
    thread = threading.Thread(target=lambda: client.kv.get("late/a", index=index, wait="3s"))
    thread.start()
    pause = threading.Event()
    pause.wait(1)

    consul_cluster.pause(leader)
    pause.wait(12)
    consul_cluster.resume(leader)
    thread.join(30)

    _, seen, seconds = last(instrumented)
    assert seen[semconv.HTTP_RESPONSE_STATUS_CODE] == 200
    assert seen[semconv.OUTCOME] == Outcome.OK
    assert seen[semconv.WAIT] == 3.0
    # All that is beyond wait and a sixteenth, and nothing else; the answer itself shows nothing of it.
    assert seconds > 12
    assert seen[semconv.LATE] == pytest.approx(seconds - 3 * 17 / 16, abs=0.1)
    assert instrumented.total(definitions.LATE_TIME.name) == pytest.approx(seen[semconv.LATE])
    assert {semconv.RESPONSE_KNOWN_LEADER, semconv.RESPONSE_LAST_CONTACT} & set(seen) == set()


def test_lost_quorum_holds_calls_seven_seconds(consul_cluster: Cluster, instrumented: Telemetry) -> None:
    leader = consul_cluster.leader()
    server = consul_cluster.servers[leader]
    client = consul.Consul(port=server.port)
    client.kv.put("lost/a", "1")
    for index in range(3):
        if index != leader:
            consul_cluster.kill(index)
    pause = threading.Event()
    while server.leader() is not None:
        pause.wait(0.05)

    with pytest.raises(Exception, match="No cluster leader"):
        client.kv.get("lost/a")

    span, seen, seconds = last(instrumented)
    assert 6.5 < seconds < 20  # more than seven only where the machine is starved
    assert seen[semconv.OUTCOME] == Outcome.ERROR
    assert seen[semconv.HTTP_RESPONSE_STATUS_CODE] == 500
    assert seen[semconv.ERROR_TYPE] == "500"
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ConsulException: 500 No cluster leader"
    assert semconv.RESPONSE_INDEX not in seen  # Consul sends no such header with an error

    client.kv.get("lost/a", consistency="stale")
    _, seen, _ = last(instrumented)
    assert seen[semconv.OUTCOME] == Outcome.OK
    assert seen[semconv.RESPONSE_KNOWN_LEADER] is False
    assert seen[semconv.RESPONSE_LAST_CONTACT] > 0
    # the first collection since: another would find it gone
    assert instrumented.total(definitions.MAX_LAST_CONTACT.name) == pytest.approx(seen[semconv.RESPONSE_LAST_CONTACT])
    assert instrumented.total(definitions.LEADERLESS_READS.name, **{semconv.OPERATION: "kv.get"}) == 1

    # registered with the agent, not with the cluster: 200, but only after the same seven seconds
    client.agent.service.register("lost")
    _, seen, seconds = last(instrumented)
    assert (seen[semconv.OUTCOME], seen[semconv.HTTP_RESPONSE_STATUS_CODE]) == (Outcome.OK, 200)
    assert 6.5 < seconds < 20  # more than seven only where the machine is starved


def test_stale_follower_tells_its_last_contact(consul_cluster: Cluster, instrumented: Telemetry) -> None:
    leader = consul_cluster.leader()
    follower = consul_cluster.servers[(leader + 1) % 3]
    client = consul.Consul(port=follower.port, consistency="stale")
    contacts = []
    for _ in range(30):  # a contact is rarely 0 ms old
        client.kv.get("lost/a")
        contacts.append(last(instrumented)[1].get(semconv.RESPONSE_LAST_CONTACT))

    told = [contact for contact in contacts if contact is not None]
    assert told
    assert all(0 < contact < 5 for contact in told)
    assert instrumented.total(definitions.MAX_LAST_CONTACT.name) == max(told)
    assert instrumented.total(definitions.LEADERLESS_READS.name) == 0
