"""Says once for each place in the program that its calls have no deadline, and what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from otel_consul.stacks import call_site
from otel_consul.stacks.call_site import CallSite
from otel_consul.stacks.walk import Frame

_logger: Final = logging.getLogger("otel_consul")
_MOST: Final = 1000
"""Call sites remembered. A program has a few dozen; beyond this nothing more is said."""
OTHERWISE: Final = "give the HTTP client it uses a time-out, or await the call in asyncio.wait_for"


class MissingDeadlines:
    """What has been said so far."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str, int]] = set()
        """Operations and positions in the code: cheaper to find than the line that a position is in."""
        self._said: set[tuple[str, Frame]] = set()

    def noted(self, operation: str, origin: CallSite | None, remedies: Mapping[str, str], transport: str) -> None:
        """A call has no deadline: say so, if it is the first of its operation from this call site.

        `remedies` has how to set one, by the name of the transport.
        """
        site = origin or call_site.find()
        if site is None or len(self._seen) >= _MOST:
            return
        code, position = site
        key = (operation, code.co_filename, code.co_firstlineno << 20 | position)
        if key in self._seen:
            return
        self._seen.add(key)
        line = call_site.line(site)
        if (operation, line) in self._said:
            return
        self._said.add((operation, line))
        _logger.info(
            "%s at %s has no deadline: if Consul or the network falls silent, it waits for ever. To set one, %s. "
            "Said once for each operation and place.",
            operation,
            line,
            remedies.get(transport, OTHERWISE),
        )
