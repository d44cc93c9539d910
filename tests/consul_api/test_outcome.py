"""How a call ended, told from its answer."""

from __future__ import annotations

from typing import Any

import pytest

from otel_consul.consul_api import outcome
from otel_consul.semconv import Outcome


@pytest.mark.parametrize(
    ("status", "body", "write", "operation", "expected"),
    [
        (200, "true", True, "kv.put", Outcome.OK),
        (200, "false", True, "kv.put", Outcome.NOT_APPLIED),
        (200, b"false\n", True, "kv.put", Outcome.NOT_APPLIED),
        (200, False, True, "kv.delete", Outcome.NOT_APPLIED),
        (200, "false", False, "kv.get", Outcome.OK),  # somebody's raw value
        (200, "falsehoods", True, "txn", Outcome.OK),
        (200, None, True, "kv.put", Outcome.OK),
        (204, "", True, "kv.put", Outcome.OK),
        (302, "", False, "kv.get", Outcome.OK),
        (404, "", False, "kv.get", Outcome.NOT_FOUND),
        (404, "", True, "session.renew", Outcome.NOT_FOUND),
        (429, "", False, "agent.health.service.id", Outcome.OK),
        (503, "", False, "agent.health.service.name", Outcome.OK),
        (500, "", False, "agent.health.service.name", Outcome.ERROR),
        (404, "", False, "agent.health.service.name", Outcome.NOT_FOUND),
        (429, "", False, "operator.autopilot.health", Outcome.OK),
        (429, "", False, "kv.get", Outcome.ERROR),
        (503, "", False, "kv.get", Outcome.ERROR),
        (500, "", True, "kv.put", Outcome.ERROR),
        (403, "", False, "kv.get", Outcome.ERROR),
        (409, "", True, "txn", Outcome.ERROR),
    ],
)
def test_answer(status: int, body: Any, write: bool, operation: str, expected: str) -> None:
    assert outcome.of_answer(operation, status, body, write=write) == expected
