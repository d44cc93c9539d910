"""Transports that answer from memory: no network, no kernel, the same answer every time."""

from __future__ import annotations

import io
from typing import Any

import consul
import consul.base
import consul.std
import requests
import requests.adapters
import urllib3
import urllib3.connection
import urllib3.connectionpool
from requests.structures import CaseInsensitiveDict

HEADERS = {
    "Content-Type": "application/json",
    "Vary": "Accept-Encoding",
    "X-Consul-Index": "28",
    "X-Consul-Knownleader": "true",
    "X-Consul-Lastcontact": "0",
    "Date": "Mon, 23 Nov 2026 08:00:00 GMT",
}
BODY = '[{"LockIndex":0,"Key":"a","Flags":0,"Value":"YQ==","CreateIndex":3,"ModifyIndex":3}]'
ANSWER = (
    "HTTP/1.1 200 OK\r\n"
    + "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    + f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()


class Answering(consul.std.HTTPClient):  # type: ignore[misc]
    """The client's transport object itself answers: the least a call can cost."""

    _answer = consul.base.Response(200, CaseInsensitiveDict({**HEADERS, "Content-Length": str(len(BODY))}), BODY)

    def get(self, callback: Any, path: Any, params: Any = None, headers: Any = None, raw: bool = False) -> Any:
        return callback(self._answer)


def client() -> Any:
    """A client whose transport object answers."""
    made = consul.Consul()
    made.http.__class__ = Answering
    return made


class _Socket:
    """What http.client needs of one."""

    def makefile(self, *args: Any, **kwargs: Any) -> io.BytesIO:
        return io.BytesIO(ANSWER)

    def sendall(self, data: bytes) -> None:
        pass

    def settimeout(self, seconds: float | None) -> None:
        pass

    def getpeername(self) -> tuple[str, int]:
        return ("127.0.0.1", 8500)

    def close(self) -> None:
        pass


class _Connection(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> Any:
        return _Socket()

    @property
    def is_connected(self) -> bool:
        return self.sock is not None


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    ConnectionCls = _Connection


def pool_manager() -> urllib3.PoolManager:
    """urllib3, whole, on sockets that answer."""
    manager = urllib3.PoolManager()
    manager.pool_classes_by_scheme = {"http": _Pool}
    return manager


class _Adapter(requests.adapters.HTTPAdapter):  # type: ignore[misc]
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool}


def session() -> Any:
    """Requests and urllib3, whole, on sockets that answer."""
    made = requests.session()
    made.trust_env = False
    made.mount("http://", _Adapter())
    return made


def requests_client() -> Any:
    """A client over `session`."""
    made = consul.Consul()
    made.http.session = session()
    return made
