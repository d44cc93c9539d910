"""What the parameters of a call mean: mode, consistency, and how long Consul may hold it.

What is not in the parameters is not in force, so nothing has to be read from the client. py-consul, python-consul and
python-consul2 copy a client-level ``dc`` into the parameters of `kv`, `catalog`, `health` and `session` (newer ones also of
`config`, `connect`, `event`, `operator` and `snapshot`), and a client-level ``consistency`` into those of `kv`,
`catalog`, `session` and `coordinate.nodes`. Every other call goes out without them, so there the client's default has no
effect. consulate appends its ``dc`` to every URI and knows no consistency.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from otel_consul.redact import encodable
from otel_consul.semconv import DEFAULT_WAIT, JITTER, MAX_WAIT

if TYPE_CHECKING:
    from otel_consul.consul_api.operations import Operation

Consistency = Literal["default", "stale", "consistent"]


class Query(NamedTuple):
    """The parameters of one call that change what it does."""

    mode: str | None = None
    """KV only. get: ``key recurse keys raw``; put: ``set cas acquire release``; delete: ``key recurse cas``."""
    consistency: Consistency = "default"
    cached: bool = False
    datacenter: str | None = None
    index: int | None = None  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    """The index to block on: a uint64. 0 does not block; None if absent or not a number."""
    wait: float | None = None
    """Seconds asked for; None if absent, not positive (Consul then uses its default) or malformed (Consul answers 400)."""
    hash: str | None = None


EMPTY: Final = Query()
"""No parameters, on anything but KV."""

# By method: the parameters that decide the mode, the first that is present winning, as in Consul's own handlers.
_MODES: Final = {"GET": ("keys", "recurse", "raw"), "PUT": ("cas", "acquire", "release"), "DELETE": ("recurse", "cas")}
_EMPTY_KV: Final = {"GET": Query("key"), "PUT": Query("set"), "DELETE": Query("key")}

_UINT64: Final = 1 << 64
_UINT64_DIGITS: Final = 20
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST_DURATION: Final = float(1 << 63) * 1e-9
"""Seconds a Go duration can hold."""
_LONGEST_TEXT: Final = 64
"""Characters of a duration worth reading: what is remembered must stay small."""


def read(op: Operation, method: str, params: object) -> Query:
    """What `params` mean: pairs in a list or tuple, a mapping, or None. Flags count by presence, whatever their value.

    Anything else is left alone: an iterator read here would be empty when the client comes to it.
    """
    kv = op.names == "key"
    empty = _EMPTY_KV[method] if kv else EMPTY
    if not params:
        return empty
    given = _given(params)
    mode = empty.mode
    if kv:
        for flag in _MODES[method]:
            if flag in given:
                mode = flag
                break
    consistency: Consistency = "default"
    if "stale" in given:
        consistency = "stale"
    elif "consistent" in given:
        consistency = "consistent"
    # What Query(...) does, without the function call: a quarter of the whole reading.
    return tuple.__new__(
        Query,
        (
            mode,
            consistency,
            "cached" in given,
            _text(given["dc"]) if "dc" in given else None,
            _index(given["index"]) if "index" in given else None,
            parse_duration(given["wait"]) if "wait" in given else None,
            _text(given["hash"]) if "hash" in given else None,
        ),
    )


def _given(params: object) -> Mapping[Any, Any]:
    if isinstance(params, (list, tuple)):
        try:
            return dict(params)
        except Exception:  # noqa: BLE001 -- not pairs: the client's own complaint, not ours
            return {}
    return params if isinstance(params, Mapping) else {}


def blocking(op: Operation, query: Query) -> bool:
    """True if Consul holds this call until something changes or its wait is over."""
    if op.blocks is None:
        return False
    return bool(query.index) if op.blocks == "index" else query.hash is not None


def hold(query: Query) -> tuple[float, float]:
    """How long Consul holds a blocking query: (the wait in force, the longest it allows itself), in seconds."""
    wait = min(query.wait or DEFAULT_WAIT, MAX_WAIT)
    return wait, wait * (1 + JITTER)


def parse_duration(value: object) -> float | None:
    """A Go duration ("1m30s", "18.9692771435s") in seconds; None unless it is one and positive."""
    text = plain(value)
    return None if text is None else _seconds(text)


def plain(value: object) -> str | None:
    """`value` if it is text, without what a class of the caller's makes of it; None if it is none.

    Never `isinstance`, nor a method of its own: what the caller passes may say that it is text, and may raise.
    """
    if type(value) is str:
        return value
    return str.__str__(value) if issubclass(type(value), str) else None


def text(value: object) -> str | None:
    """As `plain`, and bytes too."""
    return value.decode(errors="replace") if type(value) is bytes else plain(value)


def _text(value: object) -> str | None:
    """What `value` says; None if that is nothing, or it is neither text nor a number."""
    if type(value) is int or type(value) is float:
        try:
            return str(value) if value else None
        except ValueError:  # too many digits
            return None
    return encodable(text(value) or "") or None


def _index(value: object) -> int | None:
    """`value` as Go's ParseUint reads it."""
    if type(value) is int:
        return value if 0 <= value < _UINT64 else None
    text = plain(value)
    if text is not None and text.isascii() and text.isdigit() and len(text) <= _UINT64_DIGITS:
        number = int(text)
        return number if number < _UINT64 else None
    return None


@lru_cache(maxsize=256)  # programs use the same few durations again and again
def _seconds(text: str) -> float | None:
    if len(text) > _LONGEST_TEXT:
        return None
    # A minus sign, `0` without a unit and the empty text need no reading: none of them names a positive wait.
    seconds = 0.0
    position = 1 if text.startswith("+") else 0
    end = len(text)
    while position < end:
        part = _PART.match(text, position)
        if part is None:
            return None
        seconds += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    return seconds if 0 < seconds < _LONGEST_DURATION else None
