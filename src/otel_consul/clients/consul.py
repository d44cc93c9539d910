"""py-consul, python-consul and python-consul2: three distributions of one import name, `consul`.

Every API method of every version calls ``self.agent.http.<verb>(callback, path, params, ...)``, whatever the
transport: so all of them pass the attribute `http` of `consul.base.Consul`. Transports give the callback a
`Response(code, headers, body)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_consul.clients.client import Answer, Client, Reading


def _read(http: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Reading:
    path = args[1] if len(args) > 1 else kwargs.get("path")
    params = args[2] if len(args) > 2 else kwargs.get("params")  # noqa: PLR2004 -- (callback, path, params)
    try:
        base_uri = http.base_uri
    except Exception:  # noqa: BLE001 -- a transport of the user's own need not have one
        base_uri = None
    return base_uri if isinstance(base_uri, str) else None, path, params


def _answer(response: Any) -> Answer:
    return response.code, response.headers, response.body


CLIENT = Client(
    name="consul",
    distributions=("py-consul", "python-consul", "python-consul2"),
    module="consul.base",
    owner="Consul",
    attribute="http",
    calls_back=True,
    read=_read,
    answer=_answer,
    deadline_advice={
        "requests": "pass connections_timeout=SECONDS to py-consul 1.8 or newer (30 s unless it is None), or "
        "timeout=SECONDS to python-consul2; python-consul, and py-consul before 1.8, have no way: replace them",
        "aiohttp": "pass connections_timeout=SECONDS to py-consul, or await the call in asyncio.wait_for(..., SECONDS)",
        "tornado": "use tornado.gen.with_timeout: these clients offer no way of their own",
        "twisted": "use Deferred.addTimeout(SECONDS, reactor): these clients offer no way of their own",
        "urllib3": "give the transport's urllib3.PoolManager a timeout",
        "httpx": "give the transport's httpx client a timeout",
    },
)
