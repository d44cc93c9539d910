"""Transactions on the key/value store."""

from __future__ import annotations

import base64
from typing import Any

from testbed.stub_agent.kv import InvalidSession, Kv
from testbed.stub_agent.messages import Answer, Request, lowered
from testbed.stub_agent.world import BadRequest, World

MAX_OPERATIONS = 64


class Failed(Exception):
    """One operation does not hold, so none is applied."""


class Txn:
    def __init__(self, world: World, kv: Kv) -> None:
        self._world, self._kv = world, kv

    def run(self, request: Request, _: str) -> Answer:
        operations = [lowered(lowered(o)["kv"]) for o in request.json()]
        if len(operations) > MAX_OPERATIONS:
            return Answer.text(413, f"Transaction contains too many operations ({len(operations)} > {MAX_OPERATIONS})")
        kv = self._kv
        with self._world.changed:
            self._world.tick()
            before = dict(kv.entries), dict(kv.tombstones), kv.table_index
            results: list[dict[str, Any]] = []
            for number, operation in enumerate(operations):
                try:
                    results += [{"KV": entry} for entry in self._apply(operation)]
                except (Failed, InvalidSession) as error:
                    kv.entries, kv.tombstones, kv.table_index = before
                    return Answer.of({"Results": None, "Errors": [{"OpIndex": number, "What": str(error)}]}, 409)
        answer = Answer.of({"Results": results, "Errors": None})
        if all(o["verb"].startswith("get") for o in operations):
            answer.headers |= {"X-Consul-Knownleader": "true", "X-Consul-Lastcontact": "0"}
        return answer

    def _apply(self, operation: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: PLR0911, PLR0912 - a table of verbs
        kv, verb, key = self._kv, operation["verb"], str(operation.get("key", ""))
        value = base64.b64decode(operation.get("value") or "")
        flags, index = int(operation.get("flags") or 0), int(operation.get("index") or 0)
        session = str(operation.get("session") or "")
        entry = kv.entries.get(key)
        match verb:
            case "set":
                kv.put(key, value, flags)
            case "cas":
                _require(kv.cas(key, value, index, flags), f'failed to set key "{key}", index is stale')
            case "lock":
                _require(kv.acquire(key, value, session, flags), f'failed to lock key "{key}", lock is already held')
            case "unlock":
                _require(kv.release(key, value, session, flags), f'failed to unlock key "{key}", lock isn\'t held')
            case "get":
                if entry is None:
                    raise Failed(f'key "{key}" doesn\'t exist')
                return [entry.json()]
            case "get-tree":
                return [e.json() for e in kv.entries.values() if e.key.startswith(key)]
            case "delete":
                kv.delete(key)
                return []
            case "delete-tree":
                kv.delete_prefix(key)
                return []
            case "delete-cas":
                _require(kv.delete_cas(key, index), f'failed to delete key "{key}", index is stale')
                return []
            case "check-index":
                _require(entry is not None and entry.modify == index, f'current modify index of "{key}" is another')
            case "check-session":
                _require(entry is not None and entry.session == session, f'current session of "{key}" is another')
            case "check-not-exists":
                _require(entry is None, f'key "{key}" exists')
                return []
            case _:
                raise BadRequest(f"unknown KV verb {verb!r}")
        # A write's result carries everything but the value.
        return [kv.entries[key].json() | {"Value": None}]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)
