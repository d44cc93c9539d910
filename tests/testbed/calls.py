"""Plain HTTP calls to a stand-in or real agent."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Agent(Protocol):
    """Anything that listens on loopback."""

    @property
    def port(self) -> int: ...


def call(
    agent: Agent, method: str, path: str, body: Any = None, timeout: float = 5.0
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, body; a body that is neither bytes nor None is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=timeout)
    try:
        connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body))
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


def parsed(agent: Agent, method: str, path: str, body: Any = None) -> Any:
    status, _, answer = call(agent, method, path, body)
    assert status == 200, answer
    return json.loads(answer)


def elapsed(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start
