"""Values that a program may pass, by accident or on purpose, and what a value looks like, whatever it is."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, NoReturn


class BrokenError(Exception):
    """Raised by what is broken."""


class WildError(BaseException):
    """As `BrokenError`, but no `Exception`."""


def _raises(kind: type[BaseException]) -> Callable[..., NoReturn]:
    def broken(*_: Any, **__: Any) -> NoReturn:
        raise kind("broken")

    return broken


def broken(*names: str, base: type = object, kind: type[BaseException] = BrokenError) -> Callable[[], Any]:
    """Makes objects of a class whose methods of these names raise."""
    body: dict[str, Any] = {name: _raises(kind) for name in names}
    if "__eq__" in names and "__hash__" not in names:
        body["__hash__"] = base.__hash__
    made = type(f"Broken{''.join(names).replace('__', '_')}", (base,), body)
    if base is object:
        return made
    sample = {str: "text", int: 3, bytes: b"bytes", dict: {"a": "b"}, list: ["a"]}[base]
    return lambda: made(sample)


class Liar:
    """Says that it is text."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return str


class Everything:
    """Has whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Everything()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return Everything()


GOOD: list[Callable[[], Any]] = [
    lambda: "a",
    lambda: "some/key",
    lambda: "10s",
    lambda: "stale",
    lambda: "true",
    lambda: 5,
    lambda: 0,
    lambda: True,
    lambda: False,
    lambda: None,
    lambda: {"Name": "x"},
    lambda: ["a", "b"],
    lambda: b"bytes",
]
BAD: list[Callable[[], Any]] = [
    lambda: "",
    lambda: "a\x00b\r\nX-Injected: 1\x7f\x1b[31m",
    lambda: "\ud800",
    lambda: "k" * 70_000,
    lambda: "\u00e4\u4e2d\U0001f600/../%2e%2e?x=1#y",
    lambda: b"\xff\xfe",
    lambda: bytearray(b"x"),
    lambda: memoryview(b"x"),
    lambda: 10**5000,
    lambda: -1,
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: 1j,
    lambda: {"a": {"b": [None, object]}},
    lambda: {1: 2, None: "x"},
    lambda: [("a", "b"), ("a", "c")],
    lambda: [[]],
    lambda: (),
    lambda: {"a"},
    lambda: iter(["x", "y"]),
    lambda: (letter for letter in "xy"),
    lambda: io.BytesIO(b"file"),
    lambda: io.StringIO("file"),
    lambda: object,
    lambda: print,
    Liar,
    Everything,
    broken("__str__"),
    broken("__repr__"),
    broken("__str__", "__repr__", "__format__"),
    broken("__bool__"),
    broken("__len__"),
    broken("__iter__"),
    broken("__eq__"),
    broken("__hash__"),
    broken("__getattr__"),
    broken("__getattribute__"),
    broken("__str__", "__bool__", "__len__", kind=WildError),
    broken("__str__", "__hash__", base=str),
    broken("partition", "split", "encode", "startswith", "lower", base=str),
    broken("__str__", "__int__", "__float__", base=int),
    broken("items", "keys", "__iter__", "get", base=dict),
    broken("__iter__", "__len__", base=list),
    broken("decode", base=bytes),
]


def shape(value: Any, depth: int = 6) -> Any:
    """What two values have in common if they are the same to a program. Never calls into a broken one."""
    kind = type(value)
    if depth == 0 or kind in (FunctionType, BuiltinFunctionType, MethodType, type):
        return kind.__qualname__
    if kind in (dict, list, tuple, set, frozenset):
        items = list(value.items()) if kind is dict else list(value)
        return kind.__name__, [shape(item, depth - 1) for item in items]
    return error(value, depth) if issubclass(kind, BaseException) else _text(value)


def _text(value: Any) -> Any:
    kind = type(value)
    if kind in (str, bytes):
        return kind.__name__, len(value), value[:500]
    if kind is int:  # one of thousands of digits cannot be printed
        return "int", hash(value)
    if kind.__module__ == __name__:
        return kind.__qualname__
    try:
        return kind.__qualname__, neutral(repr(value))
    except Exception:
        return kind.__qualname__


def error(exc: BaseException, depth: int = 6) -> Any:
    """An exception as a program sees it, with those behind it."""
    try:
        text = neutral(str(exc))
    except BaseException as broken_text:
        text = f"str() raises {type(broken_text).__qualname__}"
    behind = [shape(other, depth - 1) for other in (exc.__cause__, exc.__context__) if other is not None]
    return "raised", type(exc).__module__, type(exc).__qualname__, text[:2000], exc.__suppress_context__, behind


def neutral(text: str) -> str:
    """Without addresses in memory, which differ in any two runs."""
    return re.sub(r"0x[0-9a-fA-F]{6,}", "0x", text)
