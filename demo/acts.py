"""The story, as data: what is done to the program in each act, and who is to blame for what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from demo.stage import Stage
from otel_consul.network.tcp_info import AVAILABLE

Fault = Callable[[Stage], AbstractContextManager[None]]


def _none(_: Stage) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Act:
    title: str
    what: str
    """What is done to the program, in one sentence."""
    culprit: str
    """What was injected, in a few words."""
    cause: str
    """The cause the report must name: see `otel_consul.report.Verdict`."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the program."""
    fault: Fault = _none
    """What goes wrong around the program meanwhile."""
    seconds: float = 4.0
    cpu_limit: float | None = None
    """The share of a processor that the program may use."""


DELAY = 0.4
TOLERATED = 0.3
"""Seconds. A busy machine makes any program so slow: less than what is injected, and truly nobody's doing here."""

ACTS = (
    Act(
        title="A good day",
        what="Nothing is done to the program. It shops.",
        culprit="nothing",
        cause="nothing",
        seconds=3.0,
    ),
    Act(
        title="A slow server",
        what=f"Consul is short of CPU: it stands still for {DELAY} s, again and again. Its machine still acknowledges each "
        "request, so that on Linux it can be told from a slow network.",
        culprit="a slow Consul",
        cause="consul" if AVAILABLE else "wait",
        fault=lambda on: on.slowed(DELAY),
    ),
    Act(
        title="A pool too small",
        what="The program may open 2 connections, and its two watches hold both. Consul is fast.",
        culprit="too few connections",
        cause="pool",
        settings={"SHOP_CONNECTIONS": "2"},
    ),
    Act(
        title="A blocked event loop",
        what="A coroutine of the program calls a library that blocks for 0.5 s. Consul is fast.",
        culprit="a blocked event loop",
        cause="event_loop",
        settings={"SHOP_PRICE_LIST": "0.5"},
    ),
    Act(
        title="A tight CPU limit",
        what="The program's container may use a tenth of a processor, in pieces of 10 ms in each 100. Consul is fast.",
        culprit="a CPU limit",
        cause="throttled",
        cpu_limit=0.1,
        seconds=8.0,
    ),
)
