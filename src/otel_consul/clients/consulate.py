"""consulate: every endpoint calls ``self._adapter.<verb>(uri, ...)``, which returns the response.

The URI is whole and unquoted, with the token in its query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_consul.clients.client import Answer, Client, Reading
from otel_consul.consul_api.operations import split_uri


def _read(http: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Reading:
    return split_uri(args[0] if args else kwargs["uri"])


def _answer(response: Any) -> Answer:
    return response.status_code, response.headers, response.body


CLIENT = Client(
    name="consulate",
    distributions=("consulate",),
    module="consulate.api.base",
    owner="Endpoint",
    attribute="_adapter",
    calls_back=False,
    read=_read,
    answer=_answer,
    deadline_advice={
        "requests": "make the client with adapter=functools.partial(consulate.adapters.Request, timeout=SECONDS)",
    },
)
