"""The story, as data: what is done to the program in each act, and who is to blame for what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from testbed.tcp_proxy import TcpProxy

Network = Callable[[TcpProxy], None]


def _leave_alone(_: TcpProxy) -> None:
    """Do nothing to the network."""


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
    network: Network = _leave_alone
    seconds: float = 4.0


DELAY = 0.7
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
        title="A slow network",
        what=f"The network between the program and Consul delivers each answer {DELAY} s late.",
        culprit="a slow network",
        cause="wait",
        network=lambda proxy: proxy.delay(DELAY),
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
)
