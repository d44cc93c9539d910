"""(method, path) -> operation: the low-cardinality name of one Consul API call, by the table in `endpoints`.

Everything is worked out at import; a lookup is two or three dictionary reads, no regular expression and no cache that
could grow. Identifiers are never split: keys, service ids, check ids and query names may hold ``/``, ``?`` and ``%``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote_plus

from otel_consul.consul_api.endpoints import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable

Names = Literal["key", "service", "node"]
Blocks = Literal["index", "hash"]

OTHER_NAME: Final = "other"
"""`Operation.name` of every path that is not in the table."""

NAMED: Final[dict[str, Names]] = {"key": "key", "service": "service", "gateway": "service", "node": "node"}
"""The placeholders that are a KV key, a service name or a node name. Every other identifier is never exported."""

_METHODS: Final = ("GET", "PUT", "POST", "DELETE")
_KV_PREFIX: Final = "/v1/kv/"


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One kind of Consul API call. Interned: the same row and method always give the same object, so it can be a key."""

    name: str
    """``kv.get``, ``health.service`` … or ``other``."""
    template: str | None
    """``/v1/kv/{key}``; None for ``other``."""
    method: str
    """The method of the call, also where the client uses a wrong one; ``_OTHER`` if it is none Consul knows."""
    names: Names | None
    """What the identifier of the path is, if telemetry may name it."""
    blocks: Blocks | None
    """The parameter that makes Consul hold the call until something changes."""
    read: bool
    """True if the call changes nothing, so that a consistency mode applies to it."""
    streams: bool
    """True if the answer never ends."""


_Operations = dict[str, Operation]


@dataclass(slots=True)
class _Route:
    """What can follow one fixed prefix, an identifier being the rest of the path."""

    plain: _Operations
    below: _Operations | None = None
    """For ``{kind}/{name}``: the kind, a word of Consul's own, has no ``/``; the name may."""
    suffixes: tuple[tuple[str, _Operations], ...] = ()
    certain: bool = True
    """Whatever follows, it is `plain`: no longer prefix begins with this one, and nothing has to be looked at."""


def _others() -> _Operations:
    methods = (*_METHODS, "_OTHER")
    return {method: Operation(OTHER_NAME, None, method, None, None, False, False) for method in methods}


_OTHERS: Final = _others()


def _operations(rows: Iterable[tuple[str, str, str, str]]) -> _Operations:
    """The operation for each method of one template: its rows, and what a wrong method most likely meant."""
    found: _Operations = {}
    for name, method, template, marks in rows:
        placeholder = template.rpartition("{")[2].partition("}")[0] if "{" in template else ""
        blocks: Blocks | None = "index" if "B" in marks else "hash" if "H" in marks else None
        read = method == "GET" or "R" in marks
        found[method] = Operation(name, template, method, NAMED.get(placeholder), blocks, read, "S" in marks)
    meant = list(found.values())
    for method in _METHODS:
        if method not in found and len({operation.name for operation in meant}) == 1:
            # Consul refuses the method (405), so whatever was meant neither reads, nor blocks, nor streams.
            first = meant[0]
            found[method] = Operation(first.name, first.template, method, first.names, None, False, False)
    return {method: found.get(method, _OTHERS[method]) for method in _METHODS}


def _compile() -> tuple[dict[str, _Operations], dict[str, _Route | None]]:
    """The table as two dictionaries: whole paths, and every fixed prefix (None where only longer ones mean anything)."""
    by_template: dict[str, list[tuple[str, str, str, str]]] = {}
    for row in ROWS:
        by_template.setdefault(row[2], []).append(row)
    whole: dict[str, _Operations] = {}
    routes: dict[str, _Route] = {}
    for template, rows in sorted(by_template.items()):
        operations = _operations(rows)
        prefix, brace, rest = template.partition("{")
        after = rest.partition("}")[2]
        if not brace:
            whole[template] = operations
        elif not after:
            routes[prefix] = _Route(operations)
            bare = {row[1] for row in by_template.get(prefix[:-1], ())}
            # no identifier at all: meant is the operation with one, unless the method has one of its own without
            whole[prefix[:-1]] = {
                method: operation if method not in bare else whole[prefix[:-1]][method]
                for method, operation in operations.items()
            }
        else:  # sorted: `/v1/query/{id}` came before `/v1/query/{id}/execute`
            route = routes[prefix]
            route.certain = False
            if after.endswith("}"):
                route.below = operations
            else:
                route.suffixes += ((after, operations),)
    prefixes: dict[str, _Route | None] = dict(routes)
    for prefix in routes:
        parent = prefix
        while (parent := parent[: parent.rindex("/", 0, -1) + 1]) != "/v1/":
            if (route_above := prefixes.setdefault(parent, None)) is not None:
                route_above.certain = False
    return whole, prefixes


_WHOLE, _PREFIXES = _compile()
_KV: Final = _WHOLE["/v1/kv"]


def lookup(method: str, path: str) -> tuple[Operation, str]:
    """The operation of a call, and its identifier where telemetry may name it (``Operation.names``), else ``""``.

    `path` is what the client hands to its transport: not yet quoted, so all that follows ``/v1/kv/`` is the key. Other
    paths may carry a query (python-consul2 writes ``/v1/acl/roles?policy=p``), which is cut. Identifiers that must never
    be exported (session and accessor ids, tokens) are not handed out at all.
    """
    if path.startswith(_KV_PREFIX):
        operation = _KV.get(method) or _OTHERS["_OTHER"]
        return operation, path[7:] if operation.names else ""
    operations = _WHOLE.get(path)
    if operations is not None:
        return operations.get(method) or _OTHERS["_OTHER"], ""
    cut = path
    if "?" in path or "%3" in path:
        cut = _without_query(path)
        if (operations := _WHOLE.get(cut)) is not None:
            return operations.get(method) or _OTHERS["_OTHER"], ""
    start = path.find("/", path.find("/", 4) + 1) + 1  # nearly every fixed prefix has two words: /v1/health/service/
    route = _PREFIXES.get(path[:start])
    if route is not None and route.certain:
        operations = route.plain
    else:
        route, start = _longest(path, start)
        if route is None:
            return _OTHERS.get(method) or _OTHERS["_OTHER"], ""
        operations = route.plain if route.certain else _choose(route, path, cut, start)
    operation = operations.get(method) or _OTHERS["_OTHER"]
    return operation, cut[start:] if operation.names else ""


def _longest(path: str, start: int) -> tuple[_Route | None, int]:
    """The route of the longest fixed prefix of `path`, and where its identifier begins.

    `start` is the end of two words. Every prefix of a prefix is in the table, so one word is looked at only where two
    are not in it.
    """
    if path[:start] not in _PREFIXES:
        start = path.find("/", 4) + 1  # 4 = len("/v1/")
        return _PREFIXES.get(path[:start]), start
    route = _PREFIXES[path[:start]]
    end = path.find("/", start) + 1
    while end and (prefix := path[:end]) in _PREFIXES:
        if (longer := _PREFIXES[prefix]) is not None:
            route, start = longer, end
        end = path.find("/", end) + 1
    return route, start


def _choose(route: _Route, path: str, cut: str, start: int) -> _Operations:
    """The operations of a route, by what the identifier is followed by."""
    for suffix, operations in route.suffixes:
        # A query's name may itself hold a `?`, so the whole path is looked at too.
        if cut.endswith(suffix) or path.endswith(suffix):
            return operations
    if route.below is not None and "/" in cut[start:]:
        return route.below
    return route.plain


def _without_query(path: str) -> str:
    """`path` up to the first ``?``, also where it is quoted already. Names of services and nodes have none."""
    cut = path.partition("?")[0].partition("%3F")[0]
    return cut.partition("%3f")[0]


# --- full URIs, for clients that build them before their transport (consulate) -----------------------------------------

_QUERY: Final = re.compile(
    r"\?(?:[^?]*&)?(?:acquire|cached|cas|consistent|dc|filter|flags|hash|index|keys|leader|max_stale|near|node-meta|ns|"
    r"partition|passing|peer|pretty|raw|recurse|release|separator|stale|tag|token|wait|wan)(?:[=&?]|$)",
    re.IGNORECASE,
)
"""A ``?`` and, up to the next one, a parameter that Consul knows."""


def split_uri(uri: str) -> tuple[str, str, list[tuple[str, str]]]:
    """`uri` as (base URI, path, parameters without the token), the path being ready for `lookup`.

    consulate does not quote keys, so a ``?`` in a KV path may belong to the key. The query begins at the first ``?``
    that is followed by a parameter Consul knows, else at the first ``?`` of all (which is what the wire does). Not at the
    last one: a key such as ``a?token=T`` would keep its token.
    """
    slash = uri.find("/", uri.find("://") + 3)
    if slash < 0:
        return uri, "", []
    start = uri.find("/v1/", slash)
    base, path = (uri[:start], uri[start:]) if start >= 0 else (uri[:slash], uri[slash:])
    mark = path.find("?")
    if mark < 0:
        return base, path, []
    if path.startswith(_KV_PREFIX) and (query := _QUERY.search(path, mark)):
        mark = query.start()
    return base, path[:mark], _pairs(path[mark + 1 :])


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = []
    for pair in query.replace("?", "&").split("&"):
        name, _, value = pair.partition("=")
        name = _unquote(name)
        if name and name.lower() != "token":
            pairs.append((name, _unquote(value)))
    return pairs


def _unquote(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text
