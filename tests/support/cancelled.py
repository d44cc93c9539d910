"""Calls that never get an answer, ended by asyncio in some way, and what `deadlines` says of it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from otel_consul.deadlines import cancellation
from otel_consul.semconv import CancelReason

SOON = 0.01
"""Seconds until a deadline that is to expire."""
NO_DEADLINE = CancelReason.CALLER if sys.version_info >= (3, 11) else CancelReason.UNKNOWN
"""What a cancellation without a deadline is called: 3.10 has deadlines that cannot be seen."""


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
            self.reasons.append(cancellation.reason(exc))
            raise


async def cancel(task: asyncio.Task[Any], call: Call) -> None:
    """Cancel `task`, which makes `call`, once that is under way."""
    await call.started.wait()
    task.cancel()
    await asyncio.wait([task])


def reasons_of(scenario: Callable[[Call], Awaitable[Any]]) -> list[str]:
    """Why the calls of the scenario ended."""

    async def run() -> list[str]:
        call = Call()
        with contextlib.suppress(asyncio.CancelledError, asyncio.TimeoutError, TimeoutError):
            await scenario(call)
        return call.reasons

    return asyncio.run(run())
