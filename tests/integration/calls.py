"""One call for every operation Consul 1.8.7 has: by py-consul's method where it has one, else through its transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from otel_consul.semconv import Outcome

ERROR, NOT_FOUND = Outcome.ERROR, Outcome.NOT_FOUND


@dataclass(frozen=True)
class Call:
    """A call, and what its span must say. `w` carries what earlier calls made (ids)."""

    operation: str
    make: Callable[[Any, SimpleNamespace], Any]
    outcome: str = Outcome.OK
    status: int | None = 200
    """None: whatever Consul finds today."""
    names: dict[str, str] = field(default_factory=dict)
    """`key`, `service` or `node`: what the path names."""
    template: str = ""
    """Where the operation has several."""
    method: str = ""
    """Where the client uses another than the table's."""
    mode: str | None = None


def raw(verb: str, path: str, body: Any = None, **params: Any) -> Callable[[Any, SimpleNamespace], Any]:
    """A call through the transport; its status and body. `{id}` in the path is filled in from `w`."""

    def make(client: Any, w: SimpleNamespace) -> Any:
        options = (
            {} if verb in ("get", "delete") else {"data": body if isinstance(body, str) else json.dumps(body or {})}
        )
        headers = client.prepare_headers(client.token)
        # The id is put in by hand: a key may have braces.
        whole = path.replace("{id}", str(getattr(w, "id", "")))
        send = getattr(client.http, verb)
        return send(_answer, path=whole, params=list(params.items()), headers=headers, **options)

    return make


def _answer(response: Any) -> tuple[int, str]:
    return response.code, response.body


def keep(name: str, call: Callable[[Any, SimpleNamespace], Any]) -> Callable[[Any, SimpleNamespace], Any]:
    """The call, its result kept as `w.<name>`."""

    def make(client: Any, w: SimpleNamespace) -> Any:
        result = call(client, w)
        if isinstance(result, tuple) and isinstance(result[1], str) and result[1].startswith("{"):
            result = json.loads(result[1])
        setattr(w, name, result.get("ID", result) if isinstance(result, dict) else result)
        return result

    return make


WEB = {"service": "web"}
NODE = {"node": "elsewhere"}

PLAIN: tuple[Call, ...] = (
    Call("kv.put", lambda c, w: c.kv.put("int/a", "1"), names={"key": "int/a"}),
    Call("kv.get", lambda c, w: c.kv.get("int/a"), names={"key": "int/a"}),
    Call("kv.get", lambda c, w: c.kv.get("int/", recurse=True), names={"key": "int/"}, mode="recurse"),
    Call("kv.get", lambda c, w: c.kv.get("int/", keys=True), names={"key": "int/"}, mode="keys"),
    Call("kv.get", raw("get", "/v1/kv/int/a", raw=""), names={"key": "int/a"}, mode="raw"),
    Call("kv.get", lambda c, w: c.kv.get("int/none"), NOT_FOUND, 404, {"key": "int/none"}),
    Call("kv.put", lambda c, w: c.kv.put("int/a", "2", cas=1), "not_applied", names={"key": "int/a"}, mode="cas"),
    Call("txn", lambda c, w: c.txn.put([{"KV": {"Verb": "get", "Key": "int/a"}}])),
    Call("txn", lambda c, w: c.txn.put([{"KV": {"Verb": "get", "Key": "int/none"}}]), ERROR, 409),
    Call("session.create", keep("id", lambda c, w: c.session.create(ttl=10, lock_delay=0))),
    Call("session.info", lambda c, w: c.session.info(w.id)),
    Call("session.renew", lambda c, w: c.session.renew(w.id)),
    Call("session.list", lambda c, w: c.session.list()),
    Call("session.node", lambda c, w: c.session.node("elsewhere"), names=NODE),
    Call("kv.put", lambda c, w: c.kv.put("int/l", "x", acquire=w.id), names={"key": "int/l"}, mode="acquire"),
    Call("kv.put", lambda c, w: c.kv.put("int/l", "x", release=w.id), names={"key": "int/l"}, mode="release"),
    Call("session.destroy", lambda c, w: c.session.destroy(w.id)),
    Call("session.renew", lambda c, w: c.session.renew(w.id), ERROR, 404),
    Call("kv.put", lambda c, w: c.kv.put("int/l", "x", acquire=w.id), ERROR, 500, {"key": "int/l"}, mode="acquire"),
    Call("kv.delete", lambda c, w: c.kv.delete("int/a"), names={"key": "int/a"}),
    Call("kv.delete", lambda c, w: c.kv.delete("int/", recurse=True), names={"key": "int/"}, mode="recurse"),
    Call("kv.delete", lambda c, w: c.kv.delete("int/l", cas=1), names={"key": "int/l"}, mode="cas"),
    # --- the agent ---
    Call(
        "agent.service.register", lambda c, w: c.agent.service.register("web", service_id="web/1", ttl="30s", port=80)
    ),
    Call("agent.service.get", lambda c, w: c.agent.service_definition("web/1")),
    Call("agent.service.maintenance", lambda c, w: c.agent.service.maintenance("web/1", False)),
    Call("agent.health.service.id", raw("get", "/v1/agent/health/service/id/web/1"), status=503),
    Call("agent.health.service.name", raw("get", "/v1/agent/health/service/name/web"), status=503, names=WEB),
    Call("agent.check.register", lambda c, w: c.agent.check.register("own", check_id="own", ttl="30s")),
    Call("agent.check.pass", lambda c, w: c.agent.check.ttl_pass("own")),
    Call("agent.check.warn", lambda c, w: c.agent.check.ttl_warn("own")),
    Call("agent.check.fail", lambda c, w: c.agent.check.ttl_fail("own")),
    Call("agent.check.update", raw("put", "/v1/agent/check/update/own", {"Status": "passing"})),
    Call("agent.check.deregister", lambda c, w: c.agent.check.deregister("own")),
    Call("agent.self", lambda c, w: c.agent.self()),
    Call("agent.host", raw("get", "/v1/agent/host")),
    Call("agent.members", lambda c, w: c.agent.members()),
    Call("agent.services", lambda c, w: c.agent.services()),
    Call("agent.checks", lambda c, w: c.agent.checks()),
    Call("agent.metrics", lambda c, w: c.agent.metrics()),
    Call("agent.maintenance", lambda c, w: c.agent.maintenance(False)),
    Call("agent.join", lambda c, w: c.agent.join("127.0.0.1:1"), ERROR, 500),
    Call("agent.force_leave", lambda c, w: c.agent.force_leave("elsewhere"), ERROR, 500, NODE),
    Call("agent.reload", lambda c, w: c.agent.reload()),
    Call(
        "agent.connect.authorize",
        raw("post", "/v1/agent/connect/authorize", {"Target": "web", "ClientCertURI": "x"}),
        ERROR,
        400,
    ),
    Call("agent.connect.authorize", lambda c, w: c.agent.connect.authorize("web", "u", "s"), ERROR, 405, method="PUT"),
    Call("agent.connect.ca.roots", lambda c, w: c.agent.connect.ca.roots()),
    Call("agent.connect.ca.leaf", lambda c, w: c.agent.connect.ca.leaf("web"), names=WEB),
    Call("agent.token.set", lambda c, w: c.agent.token.set("default", "anonymous"), ERROR, 401),
    # --- health and catalog ---
    Call("health.service", lambda c, w: c.health.service("web"), names=WEB),
    Call("health.checks", lambda c, w: c.health.checks("web"), names=WEB),
    Call("health.node", lambda c, w: c.health.node("elsewhere"), names=NODE),
    Call("health.state", lambda c, w: c.health.state("any")),
    Call("health.connect", lambda c, w: c.health.connect("web"), names=WEB),
    Call("health.ingress", lambda c, w: c.health.ingress("web"), names=WEB),
    Call("catalog.register", lambda c, w: c.catalog.register("elsewhere", "10.0.0.9", {"Service": "db"})),
    Call("catalog.datacenters", lambda c, w: c.catalog.datacenters()),
    Call("catalog.nodes", lambda c, w: c.catalog.nodes()),
    Call("catalog.services", lambda c, w: c.catalog.services()),
    Call("catalog.service", lambda c, w: c.catalog.service("web"), names=WEB),
    Call("catalog.connect", lambda c, w: c.catalog.connect("web"), names=WEB),
    Call("catalog.node", lambda c, w: c.catalog.node("elsewhere"), names=NODE),
    Call("catalog.node_services", raw("get", "/v1/catalog/node-services/elsewhere"), names=NODE),
    Call("catalog.gateway_services", lambda c, w: c.catalog.gateway_services("gw"), names={"service": "gw"}),
    Call("catalog.deregister", lambda c, w: c.catalog.deregister("elsewhere")),
    Call("agent.service.deregister", lambda c, w: c.agent.service.deregister("web/1")),
)
