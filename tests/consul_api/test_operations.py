"""(method, path) -> operation, by the whole table of Consul's HTTP API."""

from __future__ import annotations

import ast
import re
import warnings
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_consul.consul_api.endpoints import ROWS
from otel_consul.consul_api.operations import NAMED, OTHER_NAME, lookup, split_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

METHODS = ("GET", "PUT", "POST", "DELETE")
NAMES = {row[0] for row in ROWS} | {OTHER_NAME}
TEMPLATES = {row[2] for row in ROWS}

AWKWARD = [
    "web",
    "a/b/c",
    "a b",
    "a%20b",
    "ü",
    "a#b",
    "service:web/1",
    "a?b",
    "",
    "v1/kv/x",
    "register-me",
    "exe/cute/x",
]
"""What identifiers look like."""

# (method, path, operation, the identifier that may be named)
CALLS = [
    # KV keys are raw: never cut, whatever they look like
    ("GET", "/v1/kv/a", "kv.get", "a"),
    ("PUT", "/v1/kv/a/b", "kv.put", "a/b"),
    ("DELETE", "/v1/kv/a", "kv.delete", "a"),
    ("GET", "/v1/kv/", "kv.get", ""),
    ("GET", "/v1/kv", "kv.get", ""),
    ("GET", "/v1/kv/a?b", "kv.get", "a?b"),
    ("GET", "/v1/kv/a b/ü?x#y", "kv.get", "a b/ü?x#y"),
    ("GET", "/v1/kv/100%3F", "kv.get", "100%3F"),
    ("GET", "/v1/kv/v1/kv/x", "kv.get", "v1/kv/x"),
    ("GET", "/v1/kv//v1/health/service/web", "kv.get", "/v1/health/service/web"),
    ("GET", "/v1/kv/x/execute", "kv.get", "x/execute"),
    ("POST", "/v1/kv/a", "other", ""),
    # PUT-only routes: the path says what was meant, so a service named `register` cannot be read
    ("GET", "/v1/agent/service/web", "agent.service.get", ""),
    ("GET", "/v1/agent/service/scope%2Fname", "agent.service.get", ""),
    ("PUT", "/v1/agent/service/register", "agent.service.register", ""),
    ("PUT", "/v1/agent/service/register?replace-existing-checks=true", "agent.service.register", ""),
    ("GET", "/v1/agent/service/register", "agent.service.register", ""),
    ("GET", "/v1/agent/service/registered", "agent.service.get", ""),
    ("PUT", "/v1/agent/service/deregister/scope/name", "agent.service.deregister", ""),
    ("GET", "/v1/agent/service/deregister/x", "agent.service.deregister", ""),
    ("PUT", "/v1/agent/service/maintenance/x?enable=true", "agent.service.maintenance", ""),
    ("GET", "/v1/agent/service/maintenance/x", "agent.service.maintenance", ""),
    # other wrong methods
    ("GET", "/v1/agent/join/10.0.0.1", "agent.join", ""),
    ("GET", "/v1/agent/force-leave/n1", "agent.force_leave", "n1"),
    ("PUT", "/v1/agent/connect/authorize", "agent.connect.authorize", ""),
    ("GET", "/v1/agent/check/deregister/service:web/1", "agent.check.deregister", ""),
    ("GET", "/v1/agent/check/pass/service:web", "agent.check.pass", ""),
    ("GET", "/v1/agent/check/warn/service:web", "agent.check.warn", ""),
    ("GET", "/v1/agent/check/fail/service:web", "agent.check.fail", ""),
    # tokens: self, an id, and the suffix
    ("GET", "/v1/acl/token/self", "acl.token.self", ""),
    ("PUT", "/v1/acl/token/self", "acl.token.self", ""),
    ("GET", "/v1/acl/token/6a1253d2", "acl.token.get", ""),
    ("PUT", "/v1/acl/token/6a1253d2", "acl.token.update", ""),
    ("PUT", "/v1/acl/token/6a1253d2/clone", "acl.token.clone", ""),
    ("PUT", "/v1/acl/token/self/clone", "acl.token.clone", ""),
    ("DELETE", "/v1/acl/token/6a1253d2", "acl.token.delete", ""),
    ("PUT", "/v1/acl/token", "acl.token.create", ""),
    ("GET", "/v1/acl/tokens", "acl.token.list", ""),
    # a name is not an id
    ("GET", "/v1/acl/role/name/x", "acl.role.get_by_name", ""),
    ("GET", "/v1/acl/role/x", "acl.role.get", ""),
    ("GET", "/v1/acl/policy/name/x", "acl.policy.get_by_name", ""),
    ("GET", "/v1/acl/policy/named", "acl.policy.get", ""),
    ("GET", "/v1/acl/templated-policy/name/x", "acl.templated_policy.get", ""),
    ("GET", "/v1/acl/rules/translate/x", "acl.legacy.translate", ""),
    # prepared queries: a suffix, whatever the name holds
    ("GET", "/v1/query/x", "query.get", ""),
    ("GET", "/v1/query/a/b/execute", "query.execute", ""),
    ("GET", "/v1/query/what?/execute", "query.execute", ""),
    ("GET", "/v1/query/a/execute?near=_agent", "query.execute", ""),
    ("GET", "/v1/query/a/execute/explain", "query.explain", ""),
    ("GET", "/v1/query/executed", "query.get", ""),
    ("PUT", "/v1/query/x", "query.update", ""),
    ("POST", "/v1/query", "query.create", ""),
    # words that stand where an id could
    ("GET", "/v1/connect/intentions/exact", "connect.intentions.exact.get", ""),
    ("PUT", "/v1/connect/intentions/exact", "connect.intentions.exact.set", ""),
    ("GET", "/v1/connect/intentions/match", "connect.intentions.match", ""),
    ("GET", "/v1/connect/intentions/check", "connect.intentions.check", ""),
    ("GET", "/v1/connect/intentions/8f246b77", "connect.intentions.get", ""),
    ("POST", "/v1/peering/token", "peering.token", ""),
    ("POST", "/v1/peering/establish", "peering.establish", ""),
    ("GET", "/v1/peering/cluster-02", "peering.get", ""),
    ("GET", "/v1/peerings", "peering.list", ""),
    # config: the kind has no slash, the name may
    ("PUT", "/v1/config", "config.set", ""),
    ("GET", "/v1/config/service-defaults", "config.list", ""),
    ("GET", "/v1/config/service-defaults/web", "config.get", ""),
    ("GET", "/v1/config/service-defaults/a/b", "config.get", ""),
    ("GET", "/v1/config/service-defaults?filter=a/b", "config.list", ""),
    ("DELETE", "/v1/config/service-defaults/web", "config.delete", ""),
    # prefixes of one another
    ("GET", "/v1/catalog/node/n1", "catalog.node", "n1"),
    ("GET", "/v1/catalog/nodes", "catalog.nodes", ""),
    ("GET", "/v1/catalog/node-services/n1", "catalog.node_services", "n1"),
    ("GET", "/v1/agent/metrics", "agent.metrics", ""),
    ("GET", "/v1/agent/metrics/stream", "agent.metrics.stream", ""),
    ("GET", "/v1/health/service/web", "health.service", "web"),
    ("GET", "/v1/health/service//v1/kv/x", "health.service", "/v1/kv/x"),
    ("GET", "/v1/health/service/", "health.service", ""),
    ("GET", "/v1/agent/health/service/name/web", "agent.health.service.name", "web"),
    ("GET", "/v1/agent/health/service/id/web-1", "agent.health.service.id", ""),
    ("GET", "/v1/internal/federation-states/mesh-gateways", "internal.federation_state.mesh_gateways", ""),
    # a query in the path (python-consul2), also quoted
    ("GET", "/v1/acl/roles?policy=p", "acl.role.list", ""),
    ("GET", "/v1/acl/roles%3Fpolicy%3Dp", "acl.role.list", ""),
    ("GET", "/v1/health/node/n1%3fdc=x", "health.node", "n1"),
    # only names, never capabilities
    ("PUT", "/v1/session/renew/adf4238a-882b-9ddc-4a9d-5b6758e4159e", "session.renew", ""),
    ("GET", "/v1/session/node/n1", "session.node", "n1"),
    ("GET", "/v1/acl/info/my-master-token", "acl.legacy.info", ""),
    ("GET", "/v1/catalog/gateway-services/gw", "catalog.gateway_services", "gw"),
    ("GET", "/v1/coordinate/node/n1", "coordinate.node", "n1"),
    # not Consul's, or not an endpoint
    ("GET", "", "other", ""),
    ("GET", "/", "other", ""),
    ("GET", "/v1", "other", ""),
    ("GET", "/v1/", "other", ""),
    ("GET", "/v1/nothing", "other", ""),
    ("GET", "/v1/agent/check/nothing/x", "other", ""),
    ("GET", "/v2/kv/a", "other", ""),
    ("GET", "/v1/kvs/a", "other", ""),
    ("GET", "v1/kv/a", "other", ""),
    ("PATCH", "/v1/kv/a", "other", ""),
    ("PATCH", "/v1/agent/self", "other", ""),
    ("DELETE", "/v1/operator/raft/configuration/x", "other", ""),
]


@pytest.mark.parametrize(("method", "path", "name", "identifier"), CALLS)
def test_call(method: str, path: str, name: str, identifier: str) -> None:
    operation, tail = lookup(method, path)

    assert (operation.name, tail) == (name, identifier)


def fill(template: str, identifier: str) -> str:
    return re.sub(r"\{\w+\}", lambda _: identifier, template)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[1]} {row[2]}")
def test_every_row_is_found_with_any_identifier(row: tuple[str, str, str, str]) -> None:
    name, method, template, marks = row
    for identifier in AWKWARD if template.count("{") == 1 else ["web"]:
        if template == "/v1/config/{kind}" and "/" in identifier:
            continue  # a kind is a word of Consul's own
        operation, tail = lookup(method, fill(template, identifier))

        assert (operation.name, operation.template, operation.method) == (name, template, method)
        assert operation.blocks == ("index" if "B" in marks else "hash" if "H" in marks else None)
        assert operation.read == (method == "GET" or "R" in marks)
        assert operation.streams == ("S" in marks)
        if operation.names == "key":
            assert tail == identifier
        else:
            assert tail == (identifier.partition("?")[0] if operation.names else "")


def test_only_keys_services_and_nodes_are_named() -> None:
    secret = {"session_id", "accessor_id", "token", "id", "service_id", "check_id"}

    assert not secret & NAMED.keys()
    assert set(NAMED.values()) == {"key", "service", "node"}


def test_no_two_rows_say_different_things_about_one_call() -> None:
    assert len({(method, template) for _, method, template, _ in ROWS}) == len(ROWS)


def test_same_row_same_object() -> None:
    first, _ = lookup("GET", "/v1/health/service/a")
    second, _ = lookup("GET", "/v1/health/service/b/c")

    assert first is second
    assert lookup("GET", "/v1/nothing")[0] is lookup("GET", "/v2")[0]


def test_operation_is_immutable() -> None:
    operation, _ = lookup("GET", "/v1/kv/a")

    with pytest.raises(AttributeError):
        operation.name = "kv.put"  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        operation.extra = 1  # type: ignore[attr-defined]


def test_a_wrong_method_neither_reads_nor_blocks() -> None:
    operation, _ = lookup("PUT", "/v1/health/service/web")

    assert (operation.name, operation.method) == ("health.service", "PUT")
    assert (operation.blocks, operation.read, operation.streams) == (None, False, False)


def slow_lookup(method: str, path: str) -> str:
    """What the table means, without any of the haste: the longest fixed part that fits, then the method."""
    cut = path if path.startswith("/v1/kv/") else re.split(r"\?|%3[Ff]", path)[0]
    fitting: list[tuple[int, bool, str]] = []
    for template in TEMPLATES:
        fixed = re.split(r"\{\w+\}", template)
        pattern = re.escape(fixed[0])
        if len(fixed) == 2 and not fixed[1]:
            pattern = pattern[:-1] + "(?:/.*)?" if pattern.endswith("/") else pattern
        elif len(fixed) == 2:
            pattern += ".*" + re.escape(fixed[1])
        elif len(fixed) == 3:
            pattern += "[^/]*/.*"
        if re.fullmatch(pattern, cut, re.DOTALL):
            # the fixed path wins over the same words with an identifier to come
            fitting.append((len("".join(fixed).rstrip("/")), len(fixed) == 1, template))
    # of equally long ones, one that knows the method: `GET /v1/partition` means the one with a name
    longest = [template for length, _, template in sorted(fitting, reverse=True) if length == max(fitting)[0]]
    for template in longest:
        of_method = [row[0] for row in ROWS if row[2] == template and row[1] == method]
        if of_method:
            return of_method[0]
    names = {row[0] for row in ROWS if row[2] in longest[-1:]}
    return next(iter(names)) if len(names) == 1 else OTHER_NAME


WORDS = [
    *sorted({word for template in TEMPLATES for word in template.split("/") if word and "{" not in word}),
    "",
    "x y",
]
PATHS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(WORDS), max_size=6).map(lambda words: "/v1/" + "/".join(words)),
    st.builds(fill, st.sampled_from(sorted(TEMPLATES)), st.text(max_size=12)),
)


@given(method=st.sampled_from([*METHODS, "HEAD", ""]), path=PATHS)
def test_no_path_raises_or_makes_a_new_name(method: str, path: str) -> None:
    operation, tail = lookup(method, path)

    assert operation.name in NAMES
    assert operation.template is None or operation.template in TEMPLATES
    assert path.endswith(tail) or tail in path
    assert operation.method == (method if method in METHODS else "_OTHER")


@given(
    method=st.sampled_from(METHODS),
    path=st.lists(
        st.sampled_from([word for word in WORDS if word not in ("execute", "explain", "clone")]), max_size=6
    ).map(
        lambda words: "/v1/" + "/".join(words),
    ),
)
def test_the_fast_way_is_the_longest_prefix(method: str, path: str) -> None:
    assert lookup(method, path)[0].name == slow_lookup(method, path)


# --- full URIs ------------------------------------------------------------------------------------------------------

URIS = [
    ("http://h:8500/v1/kv/k?recurse=None&token=T", "http://h:8500", "/v1/kv/k", [("recurse", "None")]),
    ("http://h:8500/v1/kv/", "http://h:8500", "/v1/kv/", []),
    (
        "http+unix://%2Ftmp%2Fs.sock/v1/agent/self?dc=d1",
        "http+unix://%2Ftmp%2Fs.sock",
        "/v1/agent/self",
        [("dc", "d1")],
    ),
    ("https://h/v1/kv/v1/kv/x?raw=True", "https://h", "/v1/kv/v1/kv/x", [("raw", "True")]),
    ("http://h:1/consul/v1/status/leader", "http://h:1/consul", "/v1/status/leader", []),
    ("http://h:1/v1/kv/k?a=b%20c+d&flags=1", "http://h:1", "/v1/kv/k", [("a", "b c d"), ("flags", "1")]),
    ("http://h:1/v1/kv/a?b?token=T&dc=d", "http://h:1", "/v1/kv/a?b", [("dc", "d")]),
    ("http://h:1/v1/kv/a?b", "http://h:1", "/v1/kv/a", [("b", "")]),
    ("http://h:1/v1/kv/a?b#c?cas=0", "http://h:1", "/v1/kv/a?b#c", [("cas", "0")]),
    # a key that carries a token does not keep it
    ("http://h:1/v1/kv/a?token=T?recurse=1", "http://h:1", "/v1/kv/a", [("recurse", "1")]),
    ("http://h:1/v1/kv/a?b&TOKEN=T?raw", "http://h:1", "/v1/kv/a", [("b", ""), ("raw", "")]),
    ("http://h:1/v1/health/service/web?passing=1", "http://h:1", "/v1/health/service/web", [("passing", "1")]),
    ("http://h:1", "http://h:1", "", []),
    ("http://h:1/", "http://h:1", "/", []),
    ("", "", "", []),
]


@pytest.mark.parametrize(("uri", "base", "path", "params"), URIS)
def test_split_uri(uri: str, base: str, path: str, params: list[tuple[str, str]]) -> None:
    assert split_uri(uri) == (base, path, params)


@given(
    key=st.text(alphabet=st.characters(exclude_characters="T"), max_size=20), name=st.sampled_from(["token", "Token"])
)
def test_no_token_is_left_of_a_uri(key: str, name: str) -> None:
    parts = split_uri(f"http://h:1/v1/kv/{key}?{name}=TTTT&dc=d")

    assert "TTTT" not in repr(parts)


@given(uri=st.text())
def test_no_uri_raises(uri: str) -> None:
    split_uri(uri)
    split_uri("http://h/v1/" + uri)


# --- the client libraries themselves --------------------------------------------------------------------------------


def sample(node: ast.expr) -> str | None:
    """The path that this expression builds, every hole filled with ``x``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%s|\{\}", "x", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
    return None


def calls_of(source: str) -> Iterator[tuple[str, str]]:
    """(method, path) of each path literal with each verb that its function calls, GET where it calls none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what old clients write in their docstrings
        tree = ast.parse(source)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        verbs = {
            node.attr.upper()
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "http"
        } - {"CLOSE"}
        paths = {sample(node) for node in ast.walk(function) if isinstance(node, ast.expr)}
        yield from product(verbs or {"GET"}, {path for path in paths if path and path.startswith("/v1/")})


def test_every_call_of_the_installed_client_has_a_name() -> None:
    consul = pytest.importorskip("consul")
    folder = Path(consul.__file__).parent
    calls = {call for file in folder.rglob("*.py") for call in calls_of(file.read_text())}

    assert len(calls) > 40
    assert not {call for call in calls if lookup(*call)[0].name == OTHER_NAME}
