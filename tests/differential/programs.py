"""Random programs: calls of whatever a client offers, with whatever arguments, and what the agent answers to each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import strategies as st

from tests.clients.drivers import Driver, method_of
from tests.differential.agent import HEADERS, Answer, Headers
from tests.differential.values import BAD, GOOD, shape

_NOT_CALLED = ("http", "http_connect", "connect", "close", "lock")  # consulate's lock waits
VERBS = ("get", "put", "post", "delete")


@dataclass(frozen=True)
class Step:
    """One call."""

    operation: str
    arguments: tuple[tuple[str, Callable[[], Any]], ...]
    """Names and makers of the values, for each run makes its own."""

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={_described(make())}" for name, make in self.arguments)
        return f"{self.operation}({values})"


def _described(value: Any) -> str:
    return str(shape(value))[:80] if type(value).__module__ == "builtins" else type(value).__name__


def operations_of(client: Any) -> dict[str, list[str]]:
    """The methods of a client's parts, by dotted name, and their parameters."""
    found: dict[str, list[str]] = {}

    def look(owner: Any, path: str, depth: int) -> None:
        for name in sorted(dir(owner)):
            if name.startswith("_") or name in _NOT_CALLED or (path and name == "agent"):
                continue
            if path and isinstance(getattr(type(owner), name, None), property):
                continue  # it may call
            value = getattr(owner, name, None)
            dotted = f"{path}.{name}".lstrip(".")
            if inspect.ismethod(value) and path:
                found[dotted] = list(inspect.signature(value).parameters)
            elif depth and type(value).__module__.partition(".")[0] in ("consul", "consulate"):
                look(value, dotted, depth - 1)

    look(client, "", 2)
    return found


VALUES = st.sampled_from(GOOD) | st.sampled_from(GOOD) | st.sampled_from(BAD)
BODIES = (
    *(b"[]", b"{}", b"true", b"false", b"null", b'"x"', b"", b"no json \xff", b"[" * 100),
    *(b'[{"Key":"a","Value":"YQ==","Session":"s"}]', b'[{"Key":"a","Value":"%%"}]', b'{"ID":"i","LockIndex":1}'),
)
ODD_HEADERS: tuple[Headers, ...] = (
    (),
    (("X-Consul-Index", "nan"),),
    (("X-Consul-Index", "-5"), ("X-Consul-Index", "6")),
    (("X-Consul-Index", "1" * 5000),),
    (("X-Consul-KnownLeader", "\udcff"), *HEADERS),
)
ANSWERS = st.builds(
    Answer,
    status=st.just(200) | st.sampled_from([200, 204, 400, 403, 404, 409, 429, 500, 503]),
    body=st.sampled_from(BODIES),
    headers=st.just(HEADERS) | st.sampled_from(ODD_HEADERS),
    fault=st.just("") | st.sampled_from(["", "hang_up", "reset", "truncate", "no_http"]),
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "capture_keys": st.sampled_from(["prefix", "none"]),
        "phases": st.just(value=False),
        "local_delay": st.just(value=False),
        "suppress_http": st.just(value=True),
    },
)


def steps(operations: dict[str, list[str]]) -> st.SearchStrategy[list[Step]]:
    """Programs of up to six calls."""

    def step(name: str) -> st.SearchStrategy[Step]:
        names = operations[name]
        first = st.lists(VALUES, min_size=min(1, len(names)), max_size=len(names))
        chosen = st.lists(st.tuples(st.sampled_from(names), VALUES), max_size=3) if names else st.just([])
        return st.tuples(first, chosen).map(
            lambda drawn: Step(name, tuple({**dict(zip(names, drawn[0][:2], strict=False)), **dict(drawn[1])}.items()))
        )

    return st.lists(st.sampled_from(sorted(operations)).flatmap(step), min_size=1, max_size=6)


def run(driver: Driver, client: Any, program: list[Step]) -> list[Any]:
    """What a program sees of each of its calls."""
    return [shape(_outcome(driver, client, step)) for step in program]


def _outcome(driver: Driver, client: Any, step: Step) -> Any:
    values = {name: make() for name, make in step.arguments}
    if "args" in values or "kwargs" in values:
        values = {}
    try:
        return driver.run(lambda: method_of(client, step.operation)(**values))
    except BaseException as exc:
        return exc


def count_calls(client: Any) -> list[str]:
    """A list that grows with each call that the client's transport object gets. The plugin must be off."""
    told: list[str] = []
    http = client.http if hasattr(client, "http") else client._adapter

    def counting(verb: str, method: Any) -> Any:
        def count(*args: Any, **kwargs: Any) -> Any:
            told.append(verb)
            return method(*args, **kwargs)

        return count

    for verb in filter(partial(hasattr, http), VERBS):
        setattr(http, verb, counting(verb, getattr(http, verb)))
    return told
