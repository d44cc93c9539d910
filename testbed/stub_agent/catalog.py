"""Nodes, services and checks: what is registered, by the agent's own endpoints or by the catalog's."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from testbed.stub_agent.messages import Answer, Request, lowered
from testbed.stub_agent.world import BadRequest, View, World, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]


@dataclass
class Check:
    id: str
    name: str
    service: str
    """The id of the service it checks, "" for the node."""
    status: str = "critical"
    output: str = ""
    notes: str = ""
    ttl: float = 0.0
    due: float = float("inf")


@dataclass
class Service:
    id: str
    name: str
    tags: list[str] = field(default_factory=list)
    address: str = ""
    port: int = 0
    meta: dict[str, str] = field(default_factory=dict)
    index: int = 0


@dataclass
class Node:
    name: str
    address: str
    services: dict[str, Service] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)


class Catalog:
    """All changes and reads happen with the world's lock held."""

    def __init__(self, world: World, node: str, address: str, datacenter: str) -> None:
        self.world, self.datacenter = world, datacenter
        self.own = Node(node, address, checks={"serfHealth": Check("serfHealth", "Serf Health Status", "", "passing")})
        self.nodes = {node: self.own}
        self.index = 5
        self.service_index: dict[str, int] = {}
        world.on_tick(self._expire)

    # Changes

    def touch(self, *services: str) -> None:
        self.index = self.world.bump()
        self.service_index.update(dict.fromkeys(services, self.index))

    def add_service(self, node: Node, body: Json) -> None:
        """A service as agent/service/register and catalog/register spell it. BadRequest when it has no name."""
        name = str(body.get("name") or body.get("service") or "")
        if not name:
            raise BadRequest("Missing service name")
        service = Service(
            id=str(body.get("id") or name),
            name=name,
            tags=[str(tag) for tag in body.get("tags") or []],
            address=str(body.get("address") or ""),
            port=int(body.get("port") or 0),
            meta=dict(body.get("meta") or {}),
        )
        node.services[service.id] = service
        checks = [c for c in (body.get("check"), *(body.get("checks") or [])) if c]
        for number, check in enumerate(checks, 1):
            suffix = f":{number}" if len(checks) > 1 else ""
            default = {"checkid": f"service:{service.id}{suffix}", "name": f"Service '{name}' check"}
            self.add_check(node, default | {k: v for k, v in lowered(check).items() if v}, service.id)
        self.touch(name)
        service.index = self.index

    def add_check(self, node: Node, body: Json, service: str = "") -> None:
        name = str(body.get("name") or "")
        check_id = str(body.get("checkid") or body.get("id") or name)
        if not check_id:
            raise BadRequest("Missing check name")
        ttl = seconds(str(body["ttl"])) if body.get("ttl") else 0.0
        check = Check(
            id=check_id,
            name=name or check_id,
            service=service or str(body.get("serviceid") or ""),
            status=str(body.get("status") or "critical"),
            notes=str(body.get("notes") or ""),
            ttl=ttl,
            due=time.monotonic() + ttl if ttl else float("inf"),
        )
        node.checks[check.id] = check
        self.touch(*self._names(node, check))

    def set_check(self, check_id: str, status: str, output: str) -> bool:
        """False when there is no such check."""
        check = self.own.checks.get(check_id)
        if check is None:
            return False
        check.due = time.monotonic() + check.ttl if check.ttl else float("inf")
        if (check.status, check.output) != (status, output):
            check.status, check.output = status, output
            self.touch(*self._names(self.own, check))
        return True

    def remove_service(self, node: Node, service_id: str) -> bool:
        service = node.services.pop(service_id, None)
        if service is None:
            return False
        node.checks = {i: c for i, c in node.checks.items() if c.service != service_id}
        self.touch(service.name)
        return True

    def remove_check(self, node: Node, check_id: str) -> bool:
        check = node.checks.pop(check_id, None)
        if check is not None:
            self.touch(*self._names(node, check))
        return check is not None

    def _names(self, node: Node, check: Check) -> list[str]:
        services = [check.service] if check.service else list(node.services)
        return [node.services[i].name for i in services if i in node.services]

    def _expire(self, now: float) -> float:
        for check in self.own.checks.values():
            if check.due <= now:
                check.due, check.status, check.output = float("inf"), "critical", "TTL expired"
                self.touch(*self._names(self.own, check))
        return min((c.due for c in self.own.checks.values()), default=now + 3600.0)

    # Reads

    def read(self, request: Request, view: Callable[[], Any], *, name: str | None = None) -> Answer:
        """A read that blocks on the whole catalog, or on one service: then only its own changes wake the reader."""

        def look() -> View:
            # An absent service has no index of its own: any registration wakes its watchers, as in Consul.
            index = self.service_index.get(name, self.index) if name is not None else self.index
            return View(index, index, lambda: Answer.of(view()))

        answer = self.world.query(request, look)
        consistency = "stale" if request.flag("stale") else "consistent" if request.flag("consistent") else "leader"
        answer.headers["X-Consul-Effective-Consistency"] = consistency
        return answer

    def pairs(self, name: str, tag: str | None = None) -> list[tuple[Node, Service]]:
        found = [(n, s) for n in self.nodes.values() for s in n.services.values() if s.name == name]
        return [(n, s) for n, s in found if tag is None or tag in s.tags]

    def checks_of(self, node: Node, service: Service) -> list[Check]:
        return [c for c in node.checks.values() if c.service in ("", service.id)]

    def node_json(self, node: Node) -> Json:
        wan = {"lan": node.address, "wan": node.address}
        return {
            "ID": f"stub-{node.name}",
            "Node": node.name,
            "Address": node.address,
            "Datacenter": self.datacenter,
            "TaggedAddresses": wan,
            "Meta": {},
            "CreateIndex": 5,
            "ModifyIndex": 5,
        }

    def check_json(self, node: Node, check: Check) -> Json:
        service = node.services.get(check.service)
        return {
            "Node": node.name,
            "CheckID": check.id,
            "Name": check.name,
            "Status": check.status,
            "Notes": check.notes,
            "Output": check.output,
            "ServiceID": check.service,
            "ServiceName": service.name if service else "",
            "ServiceTags": service.tags if service else [],
            "Type": "ttl" if check.ttl else "",
            "Definition": {},
            "CreateIndex": 5,
            "ModifyIndex": self.index,
        }


def service_json(service: Service) -> Json:
    return {
        "ID": service.id,
        "Service": service.name,
        "Tags": service.tags,
        "Address": service.address,
        "Meta": service.meta,
        "Port": service.port,
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "CreateIndex": service.index,
        "ModifyIndex": service.index,
    }
