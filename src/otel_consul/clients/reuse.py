"""Says once for each place in the program that it makes a new client for nearly every call."""

from __future__ import annotations

import logging
from typing import Final

from otel_consul.stacks import call_site
from otel_consul.stacks.call_site import CallSite

_logger: Final = logging.getLogger("otel_consul")
_MOST: Final = 1000
"""Call sites remembered."""
_IN_A_ROW: Final = 20
"""Clients, one after the other, after which it is no accident."""
_FEW: Final = 2
"""Calls of a client that has not been worth making."""


class Reuse:
    """What has been seen of each call site."""

    def __init__(self) -> None:
        self._sites: dict[tuple[str, int], tuple[list[int], int]] = {}
        """The calls of the last client seen there, and how many in a row had few."""

    def first_call(self, operation: str, calls: list[int], origin: CallSite | None) -> None:
        """A client makes its first call; its calls are counted in `calls`."""
        site = origin or call_site.find()
        if site is None:
            return
        code, position = site
        key = (code.co_filename, code.co_firstlineno << 20 | position)
        before, row = self._sites.get(key, (calls, 0))
        if key not in self._sites and len(self._sites) >= _MOST:
            return
        row = row + 1 if before[0] <= _FEW else 0
        self._sites[key] = (calls, row)
        if row == _IN_A_ROW:
            _logger.info(
                "%s at %s is called by a new client each time: each opens connections of its own, and a Consul agent refuses "
                "a client's 201st. Make one client and keep it. Said once for each place.",
                operation,
                call_site.line(site),
            )
