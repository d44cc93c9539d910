"""Says once for each place in the program that its calls have no deadline, and what to do about it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from otel_consul import stacks
from otel_consul.chains import Frame

if TYPE_CHECKING:
    from otel_consul.observation import Observation

_logger: Final = logging.getLogger("otel_consul")
_MOST: Final = 1000
"""Places remembered. A program has a few dozen; beyond this nothing more is said."""
OTHERWISE: Final = "give the HTTP client it uses a time-out, or await the call in asyncio.wait_for"


class Advice:
    """What has been said so far."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str, int]] = set()
        """Operations and positions in the code: cheaper to find than the line that a position is in."""
        self._given: set[tuple[str, Frame]] = set()

    def give(self, call: Observation) -> None:
        """`call` has no deadline: say so, if it is the first of its operation from this place."""
        place = call.origin or stacks.place()
        if place is None or len(self._seen) >= _MOST:
            return
        operation = call.plan.operation.name
        code, position = place
        key = (operation, code.co_filename, code.co_firstlineno << 20 | position)
        if key in self._seen:
            return
        self._seen.add(key)
        line = stacks.line(place)
        if (operation, line) in self._given:
            return
        self._given.add((operation, line))
        _logger.info(
            "%s at %s has no deadline: if Consul or the network falls silent, it waits for ever. To set one, %s. "
            "Said once for each operation and place.",
            operation,
            line,
            call.client.deadline_advice.get(call.transport, OTHERWISE),
        )
