"""Where calls pass: a data descriptor on the client's class that hands out a proxy of its transport object.

A data descriptor beats the instance's ``__dict__``. So it sees every transport, clients made before it was put there
and subclasses written after it; deleting it restores everything, and what it stored is where it always was.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

import wrapt

from otel_consul import guard
from otel_consul.background.forks import Generation
from otel_consul.clients.client import Client


class Sender:
    """A transport object that sends calls, and what is known of it. Apart from its proxy: whose attributes are slow to read."""

    __slots__ = ("__weakref__", "calls", "client", "generation", "http", "seam", "transport")

    def __init__(self, http: Any, seam: Seam) -> None:
        self.http = http
        self.seam = seam
        self.client = seam.client
        self.generation = Generation.number
        self.calls = [0]
        """How many it has sent; apart from it, for who asks when it is gone."""
        self.transport: Any = seam.transport_of(http)
        """The HTTP library that does its calls."""


class TransportProxy(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A client's transport object, with its verbs observed. Everything else is the object's own."""

    def __init__(self, http: Any, seam: Seam) -> None:
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


def _proxy_of(http: Any, seam: Seam) -> TransportProxy:
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


Observe: TypeAlias = Callable[[Sender, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
_KEPT: Final = "_otel_consul_proxy"
"""Where a client has its `_Kept`, in its own ``__dict__``: so it dies with the client, whatever refers to what."""


class _Kept:
    """A client's proxy, and what it was made for. A copy or a pickle of the client has None in its place."""

    __slots__ = ("__weakref__", "http", "instance", "proxy", "seam")

    def __init__(self, instance: Any, http: Any, seam: Seam) -> None:
        self.instance: Callable[[], Any] = _weakly(instance)
        self.http = http
        self.seam: Seam | None = seam
        self.proxy: TransportProxy | None = _proxy_of(http, seam)

    def drop(self) -> None:
        """Leave nothing of ours with the client, nor with a shallow copy of it."""
        self.http = self.seam = self.proxy = None
        there = getattr(self.instance(), "__dict__", {})
        if there.get(_KEPT) is self:
            there.pop(_KEPT, None)

    def __reduce__(self) -> Any:
        return type(None), ()


def _weakly(instance: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(instance)
    except TypeError:  # its class has slots, and none for that
        return lambda: None


class Seam:
    """The descriptor. `observe` sees every call until `remove`; proxies that outlive it pass calls straight on."""

    def __init__(self, client: Client, observe: Observe, transport_of: Callable[[Any], Any]) -> None:
        self.client = client
        self.observe: Observe = observe
        self.transport_of = transport_of
        self._name = client.attribute
        self._owner: type | None = None
        self._kept: dict[int, weakref.ref[_Kept]] = {}
        """By id; the reference's callback drops the entry before the id can be used again."""

    @property
    def removed(self) -> bool:
        """Whether calls pass unobserved from now on."""
        return self.observe is _pass_on

    def apply(self, owner: Any) -> None:
        """Put the descriptor on `owner`. Raises TypeError unless that is a class without such an attribute."""
        if not isinstance(owner, type):
            raise TypeError(f"{self.client.module}.{self.client.owner} is no class")
        for base in owner.__mro__:
            if self._name in vars(base):
                raise TypeError(f"{base.__module__}.{base.__qualname__} has a class attribute {self._name!r}")
        setattr(owner, self._name, self)
        self._owner = owner

    def remove(self) -> None:
        """Take the descriptor away, unless somebody else has replaced it, and let every kept proxy pass calls on."""
        self.observe = _pass_on
        self.transport_of = _transport_unknown  # a proxy that a user keeps must not keep the recorder
        owner, self._owner = self._owner, None
        if owner is not None and vars(owner).get(self._name) is self:
            delattr(owner, self._name)
        for reference in list(self._kept.values()):
            kept = reference()
            if kept is not None:
                kept.drop()
        self._kept.clear()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            raise AttributeError(f"type object {getattr(owner, '__name__', owner)!r} has no attribute {self._name!r}")
        there = instance.__dict__
        try:
            http = there[self._name]
        except KeyError:
            raise AttributeError(f"{type(instance).__name__!r} object has no attribute {self._name!r}") from None
        try:
            kept = there[_KEPT]
            if kept.http is http and kept.seam is self:
                return kept.proxy
        except (KeyError, AttributeError):  # none yet; in a copy, None
            pass
        return self._adopt(instance, http)

    def __set__(self, instance: Any, value: Any) -> None:
        http = value.__wrapped__ if issubclass(type(value), TransportProxy) else value
        instance.__dict__[self._name] = http
        self._adopt(instance, http)

    def __delete__(self, instance: Any) -> None:
        try:
            del instance.__dict__[self._name]
        except KeyError:
            raise AttributeError(self._name) from None
        instance.__dict__.pop(_KEPT, None)

    def _adopt(self, instance: Any, http: Any) -> Any:
        if http is None or self.removed:
            return http
        try:
            made = _Kept(instance, http, self)
            there = instance.__dict__
            kept = there.setdefault(_KEPT, made)
            if kept is not made:
                if kept is not None and kept.http is http and kept.seam is self:
                    return kept.proxy  # another thread was first
                there[_KEPT] = made  # the client's transport was replaced
            key, all_kept = id(made), self._kept
            all_kept[key] = weakref.ref(made, lambda _: all_kept.pop(key, None))
            proxy = made.proxy
            if self.observe is _pass_on:  # removed by another thread, which may have missed it
                made.drop()
        except Exception:  # noqa: BLE001
            guard.fault("wrapping a transport")
            return http
        return proxy


def _transport_unknown(http: Any) -> None:
    return None


def _pass_on(
    sender: Sender, verb: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    return method(*args, **kwargs)
