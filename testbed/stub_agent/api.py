"""Which path answers how: the routes of the stand-in agent."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable

from testbed.stub_agent.catalog import Catalog, Json
from testbed.stub_agent.kv import Kv
from testbed.stub_agent.messages import Answer, Request
from testbed.stub_agent.registry import Registry
from testbed.stub_agent.sessions import Sessions
from testbed.stub_agent.txn import Txn
from testbed.stub_agent.world import BadRequest, View, World

Handler = Callable[[Request, str], Answer]
NODE, DATACENTER, VERSION = "stub", "dc1", "1.8.7"


class Api:
    """A whole agent, but for its sockets."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.world = World()
        live: set[str] = set()
        self.kv = Kv(self.world, live)
        self.catalog = Catalog(self.world, NODE, address, DATACENTER)
        self._address = address
        self._events: list[Json] = []
        sessions = Sessions(self.world, self.kv, live, NODE)
        registry = Registry(self.catalog)
        # (method, path) -> handler. A path that ends in "/" takes the rest as an identifier, slashes included.
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "/v1/kv/"): self.kv.handle_get,
            ("PUT", "/v1/kv/"): self.kv.handle_put,
            ("DELETE", "/v1/kv/"): self.kv.handle_delete,
            ("PUT", "/v1/txn"): Txn(self.world, self.kv).run,
            ("PUT", "/v1/session/create"): sessions.create,
            ("PUT", "/v1/session/renew/"): sessions.renew,
            ("PUT", "/v1/session/destroy/"): sessions.destroy,
            ("GET", "/v1/session/info/"): sessions.info,
            ("GET", "/v1/session/node/"): sessions.node,
            ("GET", "/v1/session/list"): sessions.list,
            ("PUT", "/v1/agent/service/register"): registry.register_service,
            ("PUT", "/v1/agent/service/deregister/"): registry.deregister_service,
            ("GET", "/v1/agent/service/"): registry.agent_service,
            ("PUT", "/v1/agent/check/register"): registry.register_check,
            ("PUT", "/v1/agent/check/deregister/"): registry.deregister_check,
            ("PUT", "/v1/agent/check/pass/"): registry.check_pass,
            ("PUT", "/v1/agent/check/warn/"): registry.check_warn,
            ("PUT", "/v1/agent/check/fail/"): registry.check_fail,
            ("PUT", "/v1/agent/check/update/"): registry.check_update,
            ("GET", "/v1/agent/services"): registry.agent_services,
            ("GET", "/v1/agent/checks"): registry.agent_checks,
            ("GET", "/v1/agent/self"): self._self,
            ("GET", "/v1/agent/members"): self._members,
            ("GET", "/v1/health/service/"): registry.health_service,
            ("GET", "/v1/health/checks/"): registry.health_checks,
            ("GET", "/v1/health/node/"): registry.health_node,
            ("GET", "/v1/health/state/"): registry.health_state,
            ("PUT", "/v1/catalog/register"): registry.register,
            ("PUT", "/v1/catalog/deregister"): registry.deregister,
            ("GET", "/v1/catalog/datacenters"): registry.datacenters,
            ("GET", "/v1/catalog/nodes"): registry.nodes,
            ("GET", "/v1/catalog/services"): registry.services,
            ("GET", "/v1/catalog/service/"): registry.service,
            ("GET", "/v1/catalog/node/"): registry.node,
            ("GET", "/v1/status/leader"): lambda *_: Answer.of(f"{self._address}:8300"),
            ("GET", "/v1/status/peers"): lambda *_: Answer.of([f"{self._address}:8300"]),
            ("PUT", "/v1/event/fire/"): self._fire,
            ("GET", "/v1/event/list"): self._event_list,
        }

    def answer(self, request: Request) -> Answer:
        """What Consul would say: 404 for a path it does not have, 405 for a method the path does not take."""
        try:
            handler, rest = self._find(request.method, request.path)
            if handler is not None:
                return handler(request, rest)
        except BadRequest as error:
            return Answer.text(400, str(error))
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # a body of another shape
            return Answer.text(400, f"Request decode failed: {error}")
        if any(self._find(method, request.path)[0] for method in ("GET", "PUT", "DELETE")):
            return Answer.text(405, "method not allowed")
        return Answer(404)

    def _find(self, method: str, path: str) -> tuple[Handler | None, str]:
        if exact := self._routes.get((method, path)):
            return exact, ""
        prefixes = [p for m, p in self._routes if m == method and p.endswith("/") and path.startswith(p)]
        prefix = max(prefixes, key=len, default="")
        return (self._routes[method, prefix], path[len(prefix) :]) if prefix else (None, "")

    def _self(self, request: Request, _: str) -> Answer:
        config = {"Datacenter": DATACENTER, "NodeName": NODE, "Server": True, "Revision": "", "Version": VERSION}
        return Answer.of({"Config": config, "Member": self._member(), "Stats": {}, "Meta": {}})

    def _members(self, request: Request, _: str) -> Answer:
        return Answer.of([self._member()])

    def _member(self) -> Json:
        return {"Name": NODE, "Addr": self._address, "Port": 8301, "Tags": {"role": "consul"}, "Status": 1}

    def _fire(self, request: Request, name: str) -> Answer:
        event: Json = {
            "ID": str(uuid.uuid4()),
            "Name": name,
            "Payload": base64.b64encode(request.body).decode() if request.body else None,
            "NodeFilter": request.option("node") or "",
            "ServiceFilter": request.option("service") or "",
            "TagFilter": request.option("tag") or "",
            "Version": 1,
            "LTime": 0,
        }
        with self.world.changed:
            seen = event | {"LTime": len(self._events) + 2}
            self._events = [*self._events, seen][-256:]
            self.world.bump()
        return Answer.of(event)

    def _event_list(self, request: Request, _: str) -> Answer:
        name = request.option("name")

        def look() -> View:
            found = [e for e in self._events if not name or e["Name"] == name]
            # Consul's index here is the last event's id folded to 64 bits; it can be beyond a signed 64-bit integer.
            last = uuid.UUID(found[-1]["ID"]).int if found else 1
            index = (last >> 64) ^ (last & (2**64 - 1))
            return View(index, index, lambda: Answer.of(found), hashed_index=True)

        return self.world.query(request, look)

    def fill(self, prefix: str, megabytes: float, keys: int = 8) -> None:
        """Put about so many megabytes (as a recursive read sends them: base64) under `prefix`, in `keys` keys."""
        value = b"x" * int(megabytes * 1e6 * 3 / 4 / keys)
        with self.world.changed:
            for number in range(keys):
                self.kv.put(f"{prefix}{number:04}", value)
