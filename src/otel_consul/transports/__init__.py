"""The HTTP libraries below the clients: each one's time-outs, exceptions and signals, one file a library.

A file or folder here holds one `TRANSPORT` and imports its library never: what the program did not import is not its
transport. `limits` are time-outs in force, `signals` turns a library's own signals into phases, `failures` knows exceptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final

from otel_consul.transports.limits import UNKNOWN, Limits


def _unknown(http: Any, params: Any, kwargs: Mapping[str, Any]) -> Limits:
    return UNKNOWN


@dataclass(frozen=True)
class Transport:
    """One HTTP library, as data."""

    name: str
    """The library's import name."""
    owns: Callable[[Any], bool] = lambda http: False
    """Whether this library does the calls of the transport object `http`."""
    lazy: bool = False
    """Whether a call gives a coroutine that does nothing until it is awaited."""
    future: bool = True
    """Whether a call may give a future or a Deferred whose work has begun."""
    limits: Callable[[Any, Any, Mapping[str, Any]], Limits] = _unknown
    """(transport object, query parameters, keyword arguments of the call) -> the time-outs in force."""
    timeouts: Mapping[str, str] = field(default_factory=dict)
    """Qualified exception names that are time-outs -> the time-out's kind, `""` where the phase must tell."""
    watch: Callable[[], None] | None = None
    """Start turning the library's own signals into phase marks, now or when the program imports it."""
    unwatch: Callable[[], None] | None = None
    """Undo `watch`."""
    errors: frozenset[str] = frozenset()
    """Qualified exception names that are no time-outs although a base class of theirs is."""

    keep_alive_advice: str = "set SO_KEEPALIVE on its sockets"
    """How to switch TCP keep-alive on: completes "To notice that the other side is gone, ..."."""


UNKNOWN_TRANSPORT: Final = Transport("unknown")


def qualified_name(cls: type) -> str:
    """`package.module.Class`, as in `error.type`; builtins without their module."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def discover() -> tuple[Transport, ...]:
    """Every `TRANSPORT` in this folder, by file name."""
    names = sorted(module.name for module in iter_modules(__path__))
    modules = (import_module(f"{__name__}.{name}") for name in names)
    return tuple(module.TRANSPORT for module in modules if hasattr(module, "TRANSPORT"))


def made_of(http: Any, package: str) -> bool:
    """Whether an attribute of the object `http` is an instance of a class from `package`."""
    try:
        values = list(vars(http).values())
    except TypeError:
        return False
    return any(base.__module__.partition(".")[0] == package for value in values for base in type(value).__mro__)
