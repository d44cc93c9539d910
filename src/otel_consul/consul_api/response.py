"""What the headers of an answer say, and what ended a blocking query. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from otel_consul import semconv
from otel_consul.consul_api.operations import Operation
from otel_consul.consul_api.request import Query, hold
from otel_consul.semconv import Wakeup

_INT64_MAX: Final = (1 << 63) - 1
_DIGITS: Final = 20
"""Digits of the greatest uint64."""
_SLACK: Final = 0.05
"""Seconds a blocking query may take beyond Consul's longest hold for the wire and the client, before it is late."""

_WANTED: Final = frozenset(
    {
        "x-consul-index",
        "x-consul-knownleader",
        "x-consul-lastcontact",
        "x-cache",
        "age",
        "x-consul-effective-consistency",
        "x-consul-query-backend",
        "x-consul-results-filtered-by-acls",
        "x-consul-contenthash",
    }
)
_SAID: Final = (
    ("x-consul-effective-consistency", semconv.RESPONSE_CONSISTENCY, ("default", "leader", "stale", "consistent")),
    ("x-consul-query-backend", semconv.RESPONSE_QUERY_BACKEND, ("blocking-query", "streaming")),
)
"""Headers whose words are repeated: those that Consul uses, for whatever stands between may put in any."""
_GREATEST_STATUS: Final = 999
_HEALTHY: Final = (False, 0.0)
_NAMES: Final = tuple(sorted(_WANTED))
_COMMON: Final = ("x-consul-index", "x-consul-knownleader", "x-consul-lastcontact")
"""What comes with nearly every read."""
_MOST_SHAPES: Final = 256
_shapes: Final[dict[tuple[Any, ...], tuple[str, ...]]] = {}
"""By the names of an answer's headers: what `_shape` found. Consul sends the same few sets of names again and again."""


def usual(headers: Any, attributes: dict[str, Any]) -> tuple[bool, float | None] | None:
    """As `describe(read(headers), attributes)` for a healthy read, in a third of the time.

    None, and nothing added, where there is more to say than that.
    """
    if headers is None:
        return None
    try:
        # requests: lower-case name -> (name, value); its public ways cost 2 µs
        store: Any = getattr(headers, "_store", None)
        of_requests = type(store) is OrderedDict
        names = tuple(store if of_requests else headers.keys())
        common = _shapes.get(names)
        if common is None:
            common = _shape(names)
        if not common:
            return None
        index, leader, contact = common
        if of_requests:
            index, leader, contact = store[index][1], store[leader][1], store[contact][1]
        else:
            index, leader, contact = headers[index], headers[leader], headers[contact]
        if contact != "0" or leader != "true" or not index.isdecimal() or len(index) >= _DIGITS - 1:
            return None
    except Exception:  # noqa: BLE001 -- not what any HTTP library calls headers
        return None
    attributes[semconv.RESPONSE_INDEX] = int(index)
    return _HEALTHY


def _shape(names: tuple[Any, ...]) -> tuple[str, ...]:
    """How the common headers are spelled among `names`; empty if one is missing, or another one means something."""
    wanted = {lower: name for name in names if isinstance(name, str) and (lower := name.lower()) in _WANTED}
    common = tuple(wanted[name] for name in _COMMON) if wanted.keys() == set(_COMMON) else ()
    if len(_shapes) < _MOST_SHAPES:
        _shapes[names] = common
    return common


def read(headers: Any) -> dict[str, str]:
    """The headers that mean something to us, by lower-case name.

    Not every client's headers ignore case (twisted's are a plain dict), and asking requests' for nine names costs more
    than reading them all once.
    """
    if headers is None:
        return {}
    store = getattr(headers, "_store", None)
    if type(store) is OrderedDict:
        return {name: text for name in _NAMES if name in store and (text := _text(store[name][1]))}
    # What a user's own transport calls headers; an iterator is the caller's to read.
    pairs = headers.items() if hasattr(headers, "items") else headers if isinstance(headers, (list, tuple)) else ()
    found = {}
    for pair in pairs:
        if isinstance(pair, (list, tuple)) and len(pair) == 2:  # noqa: PLR2004
            lower = _text(pair[0]).lower()
            if lower in _WANTED and (value := _text(pair[1])):
                found[lower] = value
    return found


def _text(value: object) -> str:
    """What a header's name or value says; empty if that is nothing."""
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, int) else ""


def status(given: object) -> int | None:
    """A status as a number: libraries give an int, a user's own transport perhaps its text."""
    if isinstance(given, str) and given.isdecimal() and given.isascii() and len(given) == 3:  # noqa: PLR2004
        return int(given)
    if not isinstance(given, int) or isinstance(given, bool):
        return None
    return int(given) if 0 <= given <= _GREATEST_STATUS else None


def describe(found: Mapping[str, str], attributes: dict[str, Any]) -> tuple[bool, float | None]:
    """Add the span attributes of these headers, a healthy default left out.

    Gives whether the answering server knew no leader, and how many seconds ago it heard from its leader (the header
    has milliseconds; None without one).
    """
    text = found.get("x-consul-index")
    number = None if text is None else _number(text)
    if number is not None and number <= _INT64_MAX:
        attributes[semconv.RESPONSE_INDEX] = number
    leaderless = found.get("x-consul-knownleader") == "false"
    if leaderless:
        attributes[semconv.RESPONSE_KNOWN_LEADER] = False
    text = found.get("x-consul-lastcontact")
    contact: float | None = 0.0
    if text != "0":
        milliseconds = _number(text)
        contact = None if milliseconds is None else milliseconds / 1000
        if contact:
            attributes[semconv.RESPONSE_LAST_CONTACT] = contact
    if len(found) > len(_COMMON) or not found.keys() <= set(_COMMON):
        _add_rarer(found, attributes)
    return leaderless, contact


def index(found: Mapping[str, str]) -> int | None:
    """`X-Consul-Index`, a uint64."""
    return _number(found.get("x-consul-index"))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) <= _DIGITS else None


def _add_rarer(found: Mapping[str, str], result: dict[str, Any]) -> None:
    cache = found.get("x-cache", "").lower()
    if cache in ("hit", "miss"):
        result[semconv.RESPONSE_CACHE] = cache
    age = _number(found.get("age"))
    if age is not None:
        result[semconv.RESPONSE_AGE] = float(age)
    for header, name, words in _SAID:
        if found.get(header) in words:
            result[name] = found[header]
    filtered = found.get("x-consul-results-filtered-by-acls")
    if filtered is not None:
        result[semconv.RESPONSE_FILTERED_BY_ACLS] = filtered == "true"


def wakeup(operation: Operation, query: Query, found: Mapping[str, str], elapsed: float) -> str | None:
    """What ended a blocking query after `elapsed` seconds; None where the answer does not tell."""
    wait, _ = hold(query)
    if query.hash is not None and operation.blocks == "hash":
        content = found.get("x-consul-contenthash")
        if content is None:
            return None
        unchanged = content == query.hash
    else:
        now = index(found)
        if now is None or query.index is None:
            return None
        if operation.name == "event.list":  # its index is a hash: only equality means something
            unchanged = now == query.index
        elif now < query.index:
            return Wakeup.RESET
        else:
            unchanged = now == query.index
    if not unchanged:
        return Wakeup.CHANGED
    return Wakeup.EXPIRED if elapsed >= wait else Wakeup.WOKEN_UNCHANGED


def late(query: Query, elapsed: float) -> float:
    """Seconds beyond the longest hold Consul allows itself: surely delay. 0 for less than the wire needs."""
    beyond = elapsed - hold(query)[1]
    return beyond if beyond > _SLACK else 0.0
