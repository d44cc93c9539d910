"""The index that all state shares, and blocking queries on it."""

from __future__ import annotations

import random
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbed.stub_agent.messages import Answer, Request

DEFAULT_WAIT, MAX_WAIT = 300.0, 600.0
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(-?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+)")


class BadRequest(ValueError):
    """Consul says 400, with this text."""


def seconds(duration: str) -> float:
    """A Go duration (`1m30s`, `1600ms`) in seconds. ValueError when it is none."""
    whole = _DURATION.fullmatch(duration)
    if whole is None:
        raise ValueError(f"invalid duration {duration!r}")
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", whole[2])
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return -total if whole[1] else total


@dataclass(frozen=True)
class View:
    """What a read sees at one moment."""

    index: int | None
    """X-Consul-Index; None for endpoints that have none (and do not block on `index`)."""
    mark: object
    """What a blocked reader watches: it looks again only when this differs."""
    render: Callable[[], Answer]
    content_hash: str | None = None
    hashed_index: bool = False
    """The index is a hash (event/list): any other value is news, a smaller one too."""

    def is_news(self, request: Request, minimum: int) -> bool:
        if self.content_hash is not None:
            return request.option("hash") != self.content_hash
        if self.index is None or minimum <= 0:
            return True
        return self.index != minimum if self.hashed_index else self.index > minimum


class World:
    """One Raft-like index, one lock, and everybody who waits for a change."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.closed = False
        self._index = 10
        self._expirers: list[Callable[[float], float]] = []

    @property
    def index(self) -> int:
        return self._index

    def bump(self) -> int:
        """Call with the lock held: the index of a new write; wakes whoever blocks."""
        self._index += 1
        self.changed.notify_all()
        return self._index

    def on_tick(self, expire: Callable[[float], float]) -> None:
        """`expire(now)` ends what is overdue, and returns when (monotonic) it must be asked again."""
        self._expirers.append(expire)

    def tick(self) -> float:
        """End what is overdue; seconds until the next end is due. With the lock held."""
        now = time.monotonic()
        return max(0.0, min((expire(now) for expire in self._expirers), default=now + 3600.0) - now)

    def query(self, request: Request, read: Callable[[], View]) -> Answer:
        """Answer a read, held back as `index`, `hash` and `wait` ask. BadRequest when they make no sense."""
        minimum, wait = _block_options(request)
        with self.changed:
            self.tick()
            view = read()
            if not view.is_news(request, minimum):
                view = self._block(request, read, view, minimum, wait)
            answer = view.render()
        if view.index is not None:
            answer.headers["X-Consul-Index"] = str(view.index)
            if not view.hashed_index:
                answer.headers["X-Consul-Knownleader"] = "true"
                answer.headers["X-Consul-Lastcontact"] = "0"
        if view.content_hash is not None:
            answer.headers["X-Consul-Contenthash"] = view.content_hash
        return answer

    def _block(self, request: Request, read: Callable[[], View], view: View, minimum: int, wait: float) -> View:
        # Like Consul: a random part of up to wait/16 on top, so that many watchers do not all come back at once.
        end = time.monotonic() + wait + random.uniform(0, wait / 16)
        while not self.closed and (left := end - time.monotonic()) > 0:
            self.changed.wait(min(left, self.tick() + 0.001))
            self.tick()
            fresh = read()
            if fresh.mark == view.mark:
                continue
            view = fresh
            if view.is_news(request, minimum):
                break
        return view

    def close(self) -> None:
        """Let every blocked reader go."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


def _block_options(request: Request) -> tuple[int, float]:
    try:
        minimum = int(request.option("index") or 0)
    except ValueError:
        raise BadRequest("Invalid index") from None
    try:
        wait = seconds(request.option("wait") or "0s")
    except ValueError:
        raise BadRequest("Invalid wait time") from None
    return minimum, min(wait, MAX_WAIT) if wait > 0 else DEFAULT_WAIT
