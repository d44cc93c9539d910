"""Functions of a library wrapped so that they mark the clock of the Consul call running, as data.

One list of `Wrap` applies and removes. A library is never imported: a module is wrapped when the program has imported
it. A wrapper asks `CURRENT` first and passes straight on where no Consul call runs, so somebody else's HTTP call pays
for that question only.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import partial, wraps
from operator import attrgetter
from typing import Any, Final, NamedTuple

from otel_consul.background.imports import Hook, take_back, when_imported

_logger: Final = logging.getLogger("otel_consul")
_ABSENT: Final = object()


class Switch:
    """Off for good once its signals are removed: a wrapper that a stranger wrapped stays, and must do nothing."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = True


class Wrap(NamedTuple):
    """One function to wrap."""

    module: str
    name: str
    """`Class.method`, or the name of a function that the module's own code calls by this name."""
    make: Callable[[Callable[..., Any], Switch], Callable[..., Any]]
    """(the function, the switch) -> its wrapper."""
    optional: bool = False
    """Whether some supported versions do well without it."""


class Signals:
    """The wraps of one library."""

    def __init__(self, *wraps: Wrap) -> None:
        self._wraps = wraps
        self._switch: Switch | None = None
        self._hooks: list[Hook] = []
        self._applied: list[tuple[Any, str, Any, Any]] = []

    def watch(self) -> None:
        """Wrap now what the program has imported, the rest when it does."""
        if self._switch is not None:
            return
        self._switch = Switch()
        for module in dict.fromkeys(wrap.module for wrap in self._wraps):
            hook = partial(self.apply, self._switch)
            self._hooks.append(hook)
            when_imported(module, hook)

    def unwatch(self) -> None:
        """Put back what was there, unless a stranger has wrapped it since: then our wrapper stays and does nothing."""
        if self._switch is None:
            return
        self._switch.on = False
        self._switch = None
        while self._hooks:
            take_back(self._hooks.pop())
        while self._applied:
            owner, name, original, wrapper = self._applied.pop()
            if vars(owner).get(name) is not wrapper:
                continue
            if original is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, original)

    def apply(self, switch: Switch, module: Any) -> None:
        """Wrap the functions of `module`."""
        if not switch.on:
            return
        for wrap in self._wraps:
            if wrap.module != module.__name__:
                continue
            path, _, name = wrap.name.rpartition(".")
            try:
                owner = attrgetter(path)(module) if path else module
                function = getattr(owner, name)
                original = vars(owner).get(name, _ABSENT)
                wrapper = wrap.make(_inherited(owner, name) if original is _ABSENT else function, switch)
                _check_parameters(wrapper, function)
                wrapper = wraps(function)(wrapper)
                self._applied.append((owner, name, original, wrapper))
                setattr(owner, name, wrapper)
            except (AttributeError, TypeError, ValueError) as exc:
                if not wrap.optional:
                    _logger.info(
                        "%s.%s is not of a shape otel_consul knows (%s); phases of Consul calls are coarser without it",
                        wrap.module,
                        wrap.name,
                        exc,
                    )


def _inherited(owner: type, name: str) -> Callable[..., Any]:
    """The base class's method, looked up at each call: others wrap it too, and later."""
    return lambda self, *args, **kwargs: getattr(super(owner, self), name)(*args, **kwargs)


def _check_parameters(wrapper: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Raise TypeError if `wrapper` names its parameters, which costs least, and `function` has come to take others."""
    code = wrapper.__code__
    if code.co_flags & inspect.CO_VARKEYWORDS:
        return
    known = code.co_varnames[: code.co_argcount]
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name not in known or parameter.kind == parameter.KEYWORD_ONLY:
            raise TypeError(f"takes {parameter.name!r}")
