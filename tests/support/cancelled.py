"""Calls that never get an answer, ended by asyncio in some way, and what `deadlines` says of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from otel_consul import deadlines

SOON = 0.01
"""Seconds until a deadline that is to expire."""


class Call:
    """A call that never gets an answer, and why it ended."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.started = asyncio.Event()

    async def __call__(self) -> None:
        self.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as exc:
            self.reasons.append(deadlines.reason(exc))
            raise


def reasons_of(scenario: Callable[[Call], Awaitable[Any]]) -> list[str]:
    """Why the calls of the scenario ended."""

    async def run() -> list[str]:
        call = Call()
        with contextlib.suppress(asyncio.CancelledError, asyncio.TimeoutError, TimeoutError):
            await scenario(call)
        return call.reasons

    return asyncio.run(run())
