"""The key/value store: values, check-and-set, locks."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, replace
from typing import Any

from testbed.stub_agent.messages import Answer, Request
from testbed.stub_agent.world import BadRequest, View, World

MAX_VALUE = 512 * 1024


@dataclass(frozen=True)
class Entry:
    key: str
    value: bytes
    flags: int
    create: int
    modify: int
    lock: int = 0
    session: str | None = None

    def json(self) -> dict[str, Any]:
        value = {
            "LockIndex": self.lock,
            "Key": self.key,
            "Flags": self.flags,
            "Value": base64.b64encode(self.value).decode() if self.value else None,
            "CreateIndex": self.create,
            "ModifyIndex": self.modify,
        }
        return value | ({"Session": self.session} if self.session else {})


class InvalidSession(Exception):
    """A lock was asked for with a session that does not exist: Consul answers 500."""


class Kv:
    """`sessions` is the set of live session ids, owned by Sessions."""

    def __init__(self, world: World, sessions: set[str]) -> None:
        self._world = world
        self._sessions = sessions
        self.entries: dict[str, Entry] = {}
        self.tombstones: dict[str, int] = {}
        self.table_index = 1
        self.lock_delays: dict[str, float] = {}
        """Key to the monotonic time before which nobody may lock it."""

    # Writes, all with the world's lock held; each says whether it was applied.

    def set(self, key: str, value: bytes, flags: int = 0, *, session: str | None = None, lock: int = 0) -> bool:
        old = self.entries.get(key)
        new = Entry(key, value, flags, 0, 0, lock or (old.lock if old else 0), session)
        if old is not None and replace(new, create=old.create, modify=old.modify) == old:
            return True  # Consul, too, leaves the index alone when nothing changes
        self.table_index = index = self._world.bump()
        self.entries[key] = replace(new, create=old.create if old else index, modify=index)
        return True

    def put(self, key: str, value: bytes, flags: int = 0) -> bool:
        old = self.entries.get(key)
        return self.set(key, value, flags, session=old.session if old else None)

    def cas(self, key: str, value: bytes, index: int, flags: int = 0) -> bool:
        old = self.entries.get(key)
        return (old.modify if old else 0) == index and self.put(key, value, flags)

    def acquire(self, key: str, value: bytes, session: str, flags: int = 0) -> bool:
        """InvalidSession when there is no such session."""
        if session not in self._sessions:
            raise InvalidSession(session)
        old = self.entries.get(key)
        if old and old.session and old.session != session:
            return False
        if self.lock_delays.get(key, 0.0) > time.monotonic():
            return False
        again = old is not None and old.session == session
        return self.set(key, value, flags, session=session, lock=(old.lock if old else 0) + (0 if again else 1))

    def release(self, key: str, value: bytes, session: str, flags: int = 0) -> bool:
        old = self.entries.get(key)
        return old is not None and old.session == session and self.set(key, value, flags)

    def delete(self, key: str) -> bool:
        if self.entries.pop(key, None) is not None:
            self.table_index = self.tombstones[key] = self._world.bump()
        return True

    def delete_prefix(self, prefix: str) -> bool:
        return all(self.delete(key) for key in [k for k in self.entries if k.startswith(prefix)])

    def delete_cas(self, key: str, index: int) -> bool:
        old = self.entries.get(key)
        return old is None or (old.modify == index and self.delete(key))

    def drop_session(self, session: str, *, delete: bool, lock_delay: float) -> None:
        """What an ended session does to the locks it holds."""
        for entry in [e for e in self.entries.values() if e.session == session]:
            if delete:
                self.delete(entry.key)
            else:
                self.set(entry.key, entry.value, entry.flags)
            if lock_delay:
                self.lock_delays[entry.key] = time.monotonic() + lock_delay

    # HTTP

    def handle_get(self, request: Request, key: str) -> Answer:
        if request.flag("recurse") or request.flag("keys"):
            return self._world.query(request, lambda: self._prefix_view(request, key))
        if not key:
            raise BadRequest("Missing key name")
        return self._world.query(request, lambda: self._key_view(request, key))

    def handle_put(self, request: Request, key: str) -> Answer:
        if not key:
            raise BadRequest("Missing key name")
        if len(request.body) > MAX_VALUE:
            return Answer.text(413, f"Request body({len(request.body)} bytes) too large, max size: {MAX_VALUE} bytes.")
        flags = int(request.option("flags") or 0)
        with self._world.changed:
            self._world.tick()
            if (index := request.option("cas")) is not None:
                return Answer.of(self.cas(key, request.body, int(index), flags))
            if (session := request.option("acquire")) is not None:
                try:
                    return Answer.of(self.acquire(key, request.body, session, flags))
                except InvalidSession:
                    return Answer.text(500, f'invalid session "{session}"')
            if (session := request.option("release")) is not None:
                return Answer.of(self.release(key, request.body, session, flags))
            return Answer.of(self.put(key, request.body, flags))

    def handle_delete(self, request: Request, key: str) -> Answer:
        with self._world.changed:
            if request.flag("recurse"):
                return Answer.of(self.delete_prefix(key))
            if (index := request.option("cas")) is not None:
                return Answer.of(self.delete_cas(key, int(index)))
            return Answer.of(self.delete(key))

    def _key_view(self, request: Request, key: str) -> View:
        entry = self.entries.get(key)
        if entry is None:
            # Watches only this key: writes to others do not wake the reader, though the index it is told moves.
            return View(self.table_index, ("absent", self.tombstones.get(key)), lambda: Answer(404))
        if request.flag("raw"):
            return View(entry.modify, entry.modify, lambda: _raw(entry.value))
        return View(entry.modify, entry.modify, lambda: Answer.of([entry.json()]))

    def _prefix_view(self, request: Request, prefix: str) -> View:
        found = sorted((e for e in self.entries.values() if e.key.startswith(prefix)), key=lambda e: e.key)
        marks = [e.modify for e in found] + [i for k, i in self.tombstones.items() if k.startswith(prefix)]
        index, mark = max(marks, default=self.table_index), tuple(marks)
        if not found:
            return View(index, mark, lambda: Answer(404))
        if request.flag("keys"):
            return View(index, mark, lambda: Answer.of(_keys(found, prefix, request.option("separator") or "")))
        return View(index, mark, lambda: Answer.of([e.json() for e in found]))


def _raw(value: bytes) -> Answer:
    return Answer(200, value, {"Content-Type": "text/plain; charset=utf-8"})


def _keys(entries: list[Entry], prefix: str, separator: str) -> list[str]:
    """Keys, cut after the first separator behind the prefix, each once."""
    keys: dict[str, None] = {}
    for entry in entries:
        head, found, _ = entry.key[len(prefix) :].partition(separator) if separator else (entry.key, "", "")
        keys[prefix + head + found if separator else entry.key] = None
    return list(keys)
