"""Sessions: created, renewed, and ended at twice their TTL, which is when Consul ends them."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testbed.stub_agent.messages import Answer, Request
from testbed.stub_agent.world import View, World, seconds

if TYPE_CHECKING:
    from testbed.stub_agent.kv import Kv

MIN_TTL, MAX_TTL = 10.0, 86400.0


@dataclass
class Session:
    id: str
    name: str
    node: str
    behavior: str
    lock_delay: float
    ttl: str
    create: int
    expires: float

    def json(self) -> dict[str, Any]:
        return {
            "ID": self.id,
            "Name": self.name,
            "Node": self.node,
            "NodeChecks": ["serfHealth"],
            "LockDelay": int(self.lock_delay * 1e9),
            "Behavior": self.behavior,
            "TTL": self.ttl,
            "CreateIndex": self.create,
            "ModifyIndex": self.create,
        }


class Sessions:
    def __init__(self, world: World, kv: Kv, live: set[str], node: str) -> None:
        self._world, self._kv, self._live, self._node = world, kv, live, node
        self._all: dict[str, Session] = {}
        self._index = 1
        world.on_tick(self._expire)

    def create(self, request: Request, _: str) -> Answer:
        options = request.fields()
        ttl = str(options.get("ttl") or "")
        if ttl and not MIN_TTL <= seconds(ttl) <= MAX_TTL:
            return Answer.text(500, f"Invalid Session TTL '{int(seconds(ttl) * 1e9)}', must be between [10s=24h0m0s]")
        with self._world.changed:
            self._index = index = self._world.bump()
            session = Session(
                id=str(uuid.uuid4()),
                name=str(options.get("name") or ""),
                node=str(options.get("node") or self._node),
                behavior=str(options.get("behavior") or "release"),
                lock_delay=_lock_delay(options.get("lockdelay", "15s")),
                ttl=ttl,
                create=index,
                expires=_end(ttl),
            )
            self._all[session.id] = session
            self._live.add(session.id)
        return Answer.of({"ID": session.id})

    def renew(self, request: Request, session_id: str) -> Answer:
        with self._world.changed:
            self._world.tick()
            session = self._all.get(session_id)
            if session is None:
                return Answer.text(404, f"Session id '{session_id}' not found")
            session.expires = _end(session.ttl)
            return Answer.of([session.json()])

    def destroy(self, request: Request, session_id: str) -> Answer:
        with self._world.changed:
            if session_id in self._all:
                self._end_session(session_id)
        return Answer.of(True)

    def info(self, request: Request, session_id: str) -> Answer:
        return self._list(request, lambda s: s.id == session_id)

    def node(self, request: Request, node: str) -> Answer:
        return self._list(request, lambda s: s.node == node)

    def list(self, request: Request, _: str) -> Answer:
        return self._list(request, lambda s: True)

    def _list(self, request: Request, wanted: Any) -> Answer:
        def read() -> View:
            found = [s.json() for s in self._all.values() if wanted(s)]
            return View(self._index, self._index, lambda: Answer.of(found))

        return self._world.query(request, read)

    def _expire(self, now: float) -> float:
        for session in [s for s in self._all.values() if s.expires <= now]:
            self._end_session(session.id)
        return min((s.expires for s in self._all.values()), default=now + 3600.0)

    def _end_session(self, session_id: str) -> None:
        session = self._all.pop(session_id)
        self._live.discard(session_id)
        self._index = self._world.bump()
        self._kv.drop_session(session_id, delete=session.behavior == "delete", lock_delay=session.lock_delay)


def _end(ttl: str) -> float:
    return time.monotonic() + 2 * seconds(ttl) if ttl else float("inf")


def _lock_delay(value: object) -> float:
    """Seconds; Consul takes a duration, or a number, which it reads as seconds if small and as nanoseconds if not."""
    if isinstance(value, str):
        return seconds(value) if value else 15.0
    number = float(value) if isinstance(value, (int, float)) else 15.0
    return number if number < 1000 else number / 1e9
