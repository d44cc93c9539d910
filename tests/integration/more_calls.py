"""As `calls`: the mesh, queries, operators, access control, and what 1.8.7 does not have."""

from __future__ import annotations

from tests.integration.calls import ERROR, NOT_FOUND, Call, keep, raw

WEB = {"service": "web"}
KEY = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
"""A gossip key to install; another one than the agent's."""
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsIixBMsQxl8kMrH8r3JE
TA8hf3ZB0sMcPAKmSmRBUxMI8niVrNfEMNezKojxZV5tCMjgpZ0xboukOIIBC17t
4n8GsYj7CTbxuVgKOHC5oot1rmi+NUXYWK2+lQo4zZIy/ULFC7ga10XibY9h6Sa5
pblloWCutFx3VuxSHRME33jZQF2UmQtSYS22cPC6ZIHhWG0q7KXenOLqaRSB4Mgg
dNYoUEUnmqjbpi6v3oheOmozJNSVVnkx2+EKD9eaMotzO6/8IJHvwAqKJGbMRS3C
VCpD6WHkcRhi6FQmCkJdeQVJAFBhZPdqNqc5d9FskQGgtXYERJC6fGQzWlqsdJKR
IQIDAQAB
-----END PUBLIC KEY-----
"""
"""Somebody's, so that an auth method can be made."""

MESH: tuple[Call, ...] = (
    Call("connect.ca.roots", lambda c, w: c.connect.ca.roots()),
    Call("connect.ca.configuration.get", keep("ca", lambda c, w: c.connect.ca.configuration())),
    Call("connect.ca.configuration.set", lambda c, w: c.connect.ca.update_configuration("consul", w.ca["Config"])),
    Call(
        "connect.intentions.create",
        keep(
            "id", raw("post", "/v1/connect/intentions", {"SourceName": "a", "DestinationName": "b", "Action": "allow"})
        ),
    ),
    Call("connect.intentions.list", lambda c, w: c.connect.intentions.list()),
    Call("connect.intentions.match", lambda c, w: c.connect.intentions.match("source", "a")),
    Call("connect.intentions.check", lambda c, w: c.connect.intentions.check("a", "b")),
    Call("connect.intentions.get", raw("get", "/v1/connect/intentions/{id}")),
    Call(
        "connect.intentions.update",
        raw("put", "/v1/connect/intentions/{id}", {"SourceName": "a", "DestinationName": "b", "Action": "deny"}),
    ),
    Call("connect.intentions.delete", raw("delete", "/v1/connect/intentions/{id}")),
    Call("config.set", lambda c, w: c.config.set("service-defaults", "web", {"Protocol": "http"})),
    Call("config.list", lambda c, w: c.config.list("service-defaults")),
    Call("config.get", lambda c, w: c.config.get("service-defaults", "web")),
    Call("discovery_chain.get", lambda c, w: c.discovery_chain.get("web"), names=WEB),
    Call(
        "discovery_chain.get",
        lambda c, w: c.discovery_chain.get("web", override_protocol="http"),
        names=WEB,
        method="POST",
    ),
    Call("config.delete", lambda c, w: c.config.delete("service-defaults", "web"), template="/v1/config/{kind}/{name}"),
    Call("config.delete", raw("delete", "/v1/config/service-defaults"), NOT_FOUND, 404, template="/v1/config/{kind}"),
    Call("event.fire", lambda c, w: c.event.fire("deploy", "now")),
    Call("event.list", lambda c, w: c.event.list()),
    Call("coordinate.datacenters", lambda c, w: c.coordinate.datacenters()),
    Call("coordinate.nodes", lambda c, w: c.coordinate.nodes()),
    Call("coordinate.node", lambda c, w: c.coordinate.node("elsewhere"), NOT_FOUND, 404, {"node": "elsewhere"}),
    Call(
        "coordinate.update",
        raw(
            "put",
            "/v1/coordinate/update",
            {"Node": "elsewhere", "Coord": {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-5}},
        ),
    ),
    Call("query.create", keep("id", lambda c, w: c.query.create("web", name="q/a"))),
    Call("query.list", lambda c, w: c.query.list()),
    Call("query.get", lambda c, w: c.query.get(w.id)),
    Call("query.update", lambda c, w: c.query.update(w.id, "web", name="q/b")),
    Call("query.execute", lambda c, w: c.query.execute("q/b")),
    Call("query.explain", lambda c, w: c.query.explain("q/b")),
    Call("query.delete", lambda c, w: c.query.delete(w.id)),
    Call("status.leader", lambda c, w: c.status.leader()),
    Call("status.peers", lambda c, w: c.status.peers()),
    Call("internal.ui.nodes", raw("get", "/v1/internal/ui/nodes")),
    Call("internal.ui.node", raw("get", "/v1/internal/ui/node/elsewhere"), NOT_FOUND, 404, {"node": "elsewhere"}),
    Call("internal.ui.services", raw("get", "/v1/internal/ui/services")),
    Call(
        "internal.ui.gateway_services_nodes",
        raw("get", "/v1/internal/ui/gateway-services-nodes/gw"),
        names={"service": "gw"},
    ),
    Call("internal.federation_state.list", raw("get", "/v1/internal/federation-states")),
    Call("internal.federation_state.mesh_gateways", raw("get", "/v1/internal/federation-states/mesh-gateways")),
    Call("internal.federation_state.get", raw("get", "/v1/internal/federation-state/dc9"), NOT_FOUND, 404),
    Call("internal.acl.authorize", raw("post", "/v1/internal/acl/authorize", "[]"), ERROR, 401),
    Call("operator.raft.configuration", lambda c, w: c.operator.raft_config()),
    Call("operator.raft.peer.remove", lambda c, w: c.operator.raft_remove_peer("127.0.0.1:1"), ERROR, 500),
    Call("operator.keyring.list", lambda c, w: c.operator.keyring_list()),
    Call("operator.keyring.install", lambda c, w: c.operator.keyring_install(KEY)),
    Call("operator.keyring.use", lambda c, w: c.operator.keyring_use(w.key)),
    Call("operator.keyring.remove", lambda c, w: c.operator.keyring_remove(KEY)),
    Call("operator.autopilot.configuration.get", lambda c, w: c.operator.autopilot_configuration()),
    Call("operator.autopilot.configuration.set", lambda c, w: c.operator.update_autopilot_configuration(True)),
    Call("operator.autopilot.health", lambda c, w: c.operator.autopilot_health(), status=None),
    Call("snapshot.save", keep("snapshot", lambda c, w: c.snapshot.save())),
    Call("snapshot.restore", lambda c, w: c.snapshot.restore(w.snapshot)),
    Call("agent.leave", lambda c, w: c.agent.leave()),  # the last: there is no agent after it
)

POLICY = {"key_prefix": {"int/": {"policy": "read"}}}
RULES = 'key_prefix "int/" { policy = "read" }'

ACCESS: tuple[Call, ...] = (
    Call("acl.bootstrap", lambda c, w: c.acl.bootstrap(), ERROR, 403),
    Call("acl.replication", raw("get", "/v1/acl/replication")),
    Call("acl.policy.create", keep("id", lambda c, w: c.acl.policies.create("p", rules=POLICY))),
    Call("acl.policy.list", lambda c, w: c.acl.policies.list()),
    Call("acl.policy.get", lambda c, w: c.acl.policies.read(w.id)),
    Call("acl.policy.get_by_name", raw("get", "/v1/acl/policy/name/p")),
    Call("acl.policy.update", lambda c, w: c.acl.policies.update(w.id, "p", rules=POLICY)),
    Call("acl.role.create", keep("role", lambda c, w: c.acl.role.create("r", policies_name=["p"]))),
    Call("acl.role.list", lambda c, w: c.acl.role.list()),
    Call("acl.role.get", lambda c, w: c.acl.role.read(w.role)),
    Call("acl.role.get_by_name", lambda c, w: c.acl.role.read_by_name("r")),
    Call("acl.role.update", lambda c, w: c.acl.role.update(w.role, "r", description="d")),
    Call("acl.token.create", keep("token", lambda c, w: c.acl.token.create(policies_name=["p"]))),
    Call("acl.token.list", lambda c, w: c.acl.token.list()),
    Call("acl.token.self", lambda c, w: c.acl.token.read_self()),
    Call("acl.token.get", lambda c, w: c.acl.token.read(w.token["AccessorID"])),
    Call("acl.token.update", lambda c, w: c.acl.token.update(w.token["AccessorID"], description="d")),
    Call("acl.token.clone", lambda c, w: c.acl.token.clone(w.token["AccessorID"])),
    Call("acl.token.delete", lambda c, w: c.acl.token.delete(w.token["AccessorID"])),
    Call("acl.role.delete", lambda c, w: c.acl.role.delete(w.role)),
    Call("acl.policy.delete", lambda c, w: c.acl.policies.delete(w.id)),
    Call("acl.auth_method.create", lambda c, w: c.acl.auth_method.create("jwt", "jwt", config=w.jwt)),
    Call("acl.auth_method.list", lambda c, w: c.acl.auth_method.list()),
    Call("acl.auth_method.get", lambda c, w: c.acl.auth_method.read("jwt")),
    Call("acl.auth_method.update", lambda c, w: c.acl.auth_method.update("jwt", "jwt", config=w.jwt)),
    Call("acl.binding_rule.create", keep("rule", lambda c, w: c.acl.binding_rule.create("jwt", "service", "web"))),
    Call("acl.binding_rule.list", lambda c, w: c.acl.binding_rule.list()),
    Call("acl.binding_rule.get", lambda c, w: c.acl.binding_rule.read(w.rule)),
    Call("acl.binding_rule.update", lambda c, w: c.acl.binding_rule.update(w.rule, "jwt", "service", "web")),
    Call("acl.login", lambda c, w: c.acl.login("jwt", "not-a-jwt"), ERROR, 500),
    Call("acl.logout", lambda c, w: c.acl.logout("nobody"), ERROR, 403),
    Call("acl.binding_rule.delete", lambda c, w: c.acl.binding_rule.delete(w.rule)),
    Call("acl.auth_method.delete", lambda c, w: c.acl.auth_method.delete("jwt")),
    Call(
        "acl.legacy.create", keep("id", raw("put", "/v1/acl/create", {"Name": "l", "Type": "client", "Rules": RULES}))
    ),
    Call("acl.legacy.update", raw("put", "/v1/acl/update", {"ID": "l", "Name": "l", "Type": "client", "Rules": RULES})),
    Call("acl.legacy.info", raw("get", "/v1/acl/info/{id}")),
    Call("acl.legacy.clone", raw("put", "/v1/acl/clone/{id}")),
    Call("acl.legacy.list", raw("get", "/v1/acl/list")),
    Call(
        "acl.legacy.translate",
        raw("post", "/v1/acl/rules/translate", RULES),
        method="POST",
        template="/v1/acl/rules/translate",
    ),
    Call(
        "acl.legacy.translate",
        raw("get", "/v1/acl/rules/translate/nobody"),
        ERROR,
        500,
        template="/v1/acl/rules/translate/{accessor_id}",
    ),
    Call("acl.legacy.destroy", raw("put", "/v1/acl/destroy/{id}")),
    Call("agent.token.set", lambda c, w: c.agent.token.set("default", "nobody")),
    Call("internal.acl.authorize", raw("post", "/v1/internal/acl/authorize", "[]")),
)

# What 1.8.7 lacks, by why. Their spans are named all the same.
LATER = """
agent.version agent.metrics.stream connect.intentions.exact.get connect.intentions.exact.set
connect.intentions.exact.delete acl.templated_policy.list acl.templated_policy.get acl.templated_policy.preview
operator.raft.transfer_leader operator.autopilot.state operator.usage operator.utilization peering.token
peering.establish peering.get peering.delete peering.list exported_services.list internal.ui.exported_services
internal.ui.catalog_overview internal.ui.gateway_intentions internal.ui.service_topology internal.ui.metrics_proxy
internal.service_virtual_ip
"""
ENTERPRISE = """
acl.oidc.auth_url acl.oidc.callback operator.license operator.segment operator.area operator.audit namespace.list
namespace.create namespace.get namespace.update namespace.delete partition.list partition.create partition.get
partition.update partition.delete
"""
ABSENT: dict[str, str] = {
    **dict.fromkeys(LATER.split(), "newer than 1.8.7"),
    **dict.fromkeys(ENTERPRISE.split(), "Consul Enterprise"),
}
ELSEWHERE = {"agent.monitor": "an endless stream: test_stream_is_named"}
