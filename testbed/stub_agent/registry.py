"""The HTTP endpoints over the catalog: agent/*, health/*, catalog/*."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from testbed.stub_agent.catalog import Catalog, Json, Node, service_json
from testbed.stub_agent.messages import Answer, Request, lowered
from testbed.stub_agent.world import BadRequest, View


class Registry:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    # agent/*: the node this agent runs on

    def register_service(self, request: Request, _: str) -> Answer:
        with self._catalog.world.changed:
            self._catalog.add_service(self._catalog.own, request.fields())
        return Answer()

    def deregister_service(self, request: Request, service_id: str) -> Answer:
        with self._catalog.world.changed:
            found = self._catalog.remove_service(self._catalog.own, service_id)
        return Answer() if found else Answer.text(500, f'Service "{service_id}" is not registered with the local agent')

    def register_check(self, request: Request, _: str) -> Answer:
        with self._catalog.world.changed:
            self._catalog.add_check(self._catalog.own, request.fields())
        return Answer()

    def deregister_check(self, request: Request, check_id: str) -> Answer:
        with self._catalog.world.changed:
            found = self._catalog.remove_check(self._catalog.own, check_id)
        return Answer() if found else Answer.text(500, f'Check "{check_id}" is not registered with the local agent')

    def check_pass(self, request: Request, check_id: str) -> Answer:
        return self._check(check_id, "passing", request.option("note") or "")

    def check_warn(self, request: Request, check_id: str) -> Answer:
        return self._check(check_id, "warning", request.option("note") or "")

    def check_fail(self, request: Request, check_id: str) -> Answer:
        return self._check(check_id, "critical", request.option("note") or "")

    def check_update(self, request: Request, check_id: str) -> Answer:
        body = request.fields()
        return self._check(check_id, str(body.get("status", "passing")), str(body.get("output", "")))

    def _check(self, check_id: str, status: str, output: str) -> Answer:
        with self._catalog.world.changed:
            self._catalog.world.tick()
            found = self._catalog.set_check(check_id, status, output)
        if found:
            return Answer()
        return Answer.text(500, f'CheckID "{check_id}" does not have associated TTL')

    def agent_services(self, request: Request, _: str) -> Answer:
        with self._catalog.world.changed:
            return Answer.of({i: service_json(s) for i, s in self._catalog.own.services.items()})

    def agent_checks(self, request: Request, _: str) -> Answer:
        catalog, own = self._catalog, self._catalog.own
        with catalog.world.changed:
            catalog.world.tick()
            return Answer.of({i: catalog.check_json(own, c) for i, c in own.checks.items() if i != "serfHealth"})

    def agent_service(self, request: Request, service_id: str) -> Answer:
        """Blocks on `hash`, not on `index`."""

        def look() -> View:
            service = self._catalog.own.services.get(service_id)
            if service is None:
                return View(None, None, lambda: Answer.text(404, f"unknown service ID: {service_id}"))
            body = service_json(service)
            digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()[:16]
            return View(None, digest, lambda: Answer.of(body | {"ContentHash": digest}), content_hash=digest)

        return self._catalog.world.query(request, look)

    # health/*

    def health_service(self, request: Request, name: str) -> Answer:
        catalog, passing, tag = self._catalog, request.flag("passing"), request.option("tag")

        def view() -> list[Json]:
            entries = []
            for node, service in catalog.pairs(name, tag):
                checks = catalog.checks_of(node, service)
                if not passing or all(c.status == "passing" for c in checks):
                    shown = [catalog.check_json(node, c) for c in checks]
                    entries.append({"Node": catalog.node_json(node), "Service": service_json(service), "Checks": shown})
            return entries

        return catalog.read(request, view, name=name)

    def health_checks(self, request: Request, name: str) -> Answer:
        return self._health(request, lambda node, check: self._service_of(node, check) == name, name=name)

    def health_node(self, request: Request, name: str) -> Answer:
        return self._health(request, lambda node, check: node.name == name)

    def health_state(self, request: Request, state: str) -> Answer:
        return self._health(request, lambda node, check: state in ("any", check.status))

    def _health(self, request: Request, wanted: Any, name: str | None = None) -> Answer:
        def view() -> list[Json]:
            pairs = [(n, c) for n in self._catalog.nodes.values() for c in n.checks.values() if wanted(n, c)]
            return [self._catalog.check_json(node, check) for node, check in pairs]

        return self._catalog.read(request, view, name=name)

    def _service_of(self, node: Node, check: Any) -> str | None:
        service = node.services.get(check.service)
        return service.name if service else None

    # catalog/*

    def register(self, request: Request, _: str) -> Answer:
        body, catalog = request.fields(), self._catalog
        if not body.get("node") or not body.get("address"):
            raise BadRequest("Must provide node and address")
        with catalog.world.changed:
            node = catalog.nodes.setdefault(str(body["node"]), Node(str(body["node"]), str(body["address"])))
            catalog.touch()
            if body.get("service"):
                catalog.add_service(node, lowered(body["service"]))
            for check in filter(None, [body.get("check"), *(body.get("checks") or [])]):
                catalog.add_check(node, lowered(check))
        return Answer.of(True)

    def deregister(self, request: Request, _: str) -> Answer:
        body, catalog = request.fields(), self._catalog
        with catalog.world.changed:
            node = catalog.nodes.get(str(body.get("node")))
            if node is not None and body.get("serviceid"):
                catalog.remove_service(node, str(body["serviceid"]))
            elif node is not None and body.get("checkid"):
                catalog.remove_check(node, str(body["checkid"]))
            elif node is not None and node is not catalog.own:
                catalog.touch(*[s.name for s in catalog.nodes.pop(node.name).services.values()])
        return Answer.of(True)

    def datacenters(self, request: Request, _: str) -> Answer:
        return Answer.of([self._catalog.datacenter])

    def nodes(self, request: Request, _: str) -> Answer:
        catalog = self._catalog
        return catalog.read(request, lambda: [catalog.node_json(n) for n in catalog.nodes.values()])

    def services(self, request: Request, _: str) -> Answer:
        def view() -> dict[str, list[str]]:
            tags: dict[str, set[str]] = {"consul": set()}
            for service in (s for n in self._catalog.nodes.values() for s in n.services.values()):
                tags.setdefault(service.name, set()).update(service.tags)
            return {name: sorted(found) for name, found in tags.items()}

        return self._catalog.read(request, view)

    def service(self, request: Request, name: str) -> Answer:
        catalog, tag = self._catalog, request.option("tag")

        def view() -> list[Json]:
            return [catalog.node_json(n) | _prefixed(service_json(s)) for n, s in catalog.pairs(name, tag)]

        return catalog.read(request, view, name=name)

    def node(self, request: Request, name: str) -> Answer:
        def view() -> Json | None:
            node = self._catalog.nodes.get(name)
            if node is None:
                return None
            services = {i: service_json(s) for i, s in node.services.items()}
            return {"Node": self._catalog.node_json(node), "Services": services}

        return self._catalog.read(request, view)


def _prefixed(service: Json) -> Json:
    """The fields as catalog/service spells them: ServiceID, ServiceName, ServiceTags and so on."""
    names = {"Service": "ServiceName", "EnableTagOverride": "ServiceEnableTagOverride"}
    unprefixed = ("CreateIndex", "ModifyIndex")
    return {k if k in unprefixed else names.get(k, f"Service{k}"): v for k, v in service.items()}
