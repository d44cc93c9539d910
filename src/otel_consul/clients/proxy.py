"""A proxy of a client's transport object, whose verbs are observed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias

import wrapt

from otel_consul.background.forks import Generation
from otel_consul.clients.client import Client


class Sender:
    """A transport object that sends calls, and what is known of it. Apart from its proxy: whose attributes are slow to read."""

    __slots__ = ("client", "generation", "http", "seam", "transport")

    def __init__(self, http: Any, seam: Passage) -> None:
        self.http = http
        self.seam = seam
        self.client = seam.client
        self.generation = Generation.number
        self.transport: Any = seam.transport_of(http)
        """The HTTP library that does its calls."""


Observe: TypeAlias = Callable[[Sender, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class Passage(Protocol):
    """What a proxy needs to know of the seam that handed it out."""

    client: Client
    observe: Observe
    transport_of: Callable[[Any], Any]

    @property
    def removed(self) -> bool:
        """Whether calls pass unobserved from now on."""


class TransportProxy(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A client's transport object, with its verbs observed. Everything else is the object's own."""

    def __init__(self, http: Any, seam: Passage) -> None:
        super().__init__(http)
        self._self_sender = Sender(http, seam)

    def get(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        sender = self._self_sender
        return sender.seam.observe(sender, "GET", sender.http.get, args, kwargs)

    def put(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        sender = self._self_sender
        return sender.seam.observe(sender, "PUT", sender.http.put, args, kwargs)

    def post(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        sender = self._self_sender
        return sender.seam.observe(sender, "POST", sender.http.post, args, kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        sender = self._self_sender
        return sender.seam.observe(sender, "DELETE", sender.http.delete, args, kwargs)

    # wrapt leaves these to subclasses; a proxy that users hold must behave as the object itself does
    def __copy__(self) -> Any:
        return copy.copy(self.__wrapped__)

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.deepcopy(self.__wrapped__, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)


_SPECIAL: Final = ("__call__", "__await__", "__aiter__", "__anext__")
"""What wrapt's proxy leaves out, because having it would say that every object does."""


@lru_cache(maxsize=16)
def _proxy_with(names: tuple[str, ...]) -> type[TransportProxy]:
    def forward(name: str) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: getattr(self.__wrapped__, name)(*args, **kwargs)

    return type(TransportProxy.__name__, (TransportProxy,), {name: forward(name) for name in names})


def proxy_of(http: Any, seam: Passage) -> TransportProxy:
    """A proxy that has the special methods `http` has."""
    names = tuple(name for name in _SPECIAL if any(name in vars(base) for base in type(http).__mro__))
    return (_proxy_with(names) if names else TransportProxy)(http, seam)


def wraps(outer: Any, http: Any, depth: int = 4) -> bool:
    """Whether the transport object `outer` hands calls on to the transport object `http`, or to one that does."""
    try:
        values = list(vars(outer).values())
    except TypeError:
        return False
    for value in values:
        inner = value.__wrapped__ if issubclass(type(value), TransportProxy) else value
        if inner is http or (depth > 0 and hasattr(type(inner), "get") and wraps(inner, http, depth - 1)):
            return True
    return False
