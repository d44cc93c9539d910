"""How many client objects there are, and how many have been made: a client for each call makes a connection for each call."""

from __future__ import annotations

import weakref
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from opentelemetry.metrics import Observation

_Server: TypeAlias = "tuple[tuple[str, Any], ...]"
_LONG: Final = 1024


class Instances:
    """Client objects that have made a call, by server. Appending is all that callers, and the garbage collector, do."""

    def __init__(self) -> None:
        self._made: deque[_Server] = deque()
        self._gone: deque[_Server] = deque()
        self._created: Counter[_Server] = Counter()
        self._alive: Counter[_Server] = Counter()
        self._watched: set[weakref.ref[Any]] = set()

    def seen(self, sender: Any, server: dict[str, Any]) -> None:
        """A client makes its first call: the one that `sender` belongs to, and dies with."""
        key = tuple(server.items())
        self._made.append(key)
        gone, watched = self._gone, self._watched

        def ended(reference: weakref.ref[Any]) -> None:
            gone.append(key)
            watched.discard(reference)

        watched.add(weakref.ref(sender, ended))
        if len(self._made) > _LONG:
            self._fold()

    def _fold(self) -> None:
        for _ in range(len(self._made)):
            key = self._made.popleft()
            self._created[key] += 1
            self._alive[key] += 1
        for _ in range(len(self._gone)):
            self._alive[self._gone.popleft()] -= 1

    def forked(self) -> None:
        """In a child: its clients are there, but none has been made."""
        self._fold()
        self._created.clear()

    def created(self) -> Iterator[Observation]:
        """`definitions.INSTANCES_CREATED`."""
        self._fold()
        for server, count in list(self._created.items()):
            yield Observation(count, dict(server))

    def alive(self) -> Iterator[Observation]:
        """`definitions.INSTANCES`; 0 where there were some."""
        self._fold()
        for server, count in list(self._alive.items()):
            yield Observation(max(0, count), dict(server))
