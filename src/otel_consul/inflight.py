"""The registry of open calls.

A dict whose single operations are atomic: no lock. A call is in it from its first step until it ends, whoever ends
it; `close` tells exactly one of them that it was the one. The gauges are counted from here at collection, so they
cannot drift.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from otel_consul.observation import Observation


class Registry(dict["Observation", None]):
    """The calls that are open now, oldest first. The call path writes ``registry[call] = None`` itself."""

    def close(self, call: Observation) -> bool:
        """Forget `call`; whether it was still open, which is true for one caller only."""
        return self.pop(call, call) is None

    def snapshot(self) -> list[Observation]:
        """The calls open now, oldest first."""
        return list(self)


OVER: Final[Any] = SimpleNamespace(registry=Registry())
"""Takes the recorder's place in a call that has ended: it is in no registry, so nobody ends it again."""
