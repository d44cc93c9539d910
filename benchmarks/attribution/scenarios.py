"""What is injected, and where it must show. Seconds everywhere.

`expected` is everything that shall show beyond an undisturbed call, by phase (`wait`) and by cause (`event_loop`);
causes overlap phases. What is not listed must not show. `MEASURED` stands for what the injection cost by the
stopwatch: the call's duration with it less the duration without, where nobody can say beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any, Final, Literal

Style = Literal["sync", "asyncio"]
BOTH: Final[tuple[Style, ...]] = ("sync", "asyncio")
MEASURED: Final = nan
SMALL_READ: Final[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = ("kv.get", ("a",), {})


@dataclass(frozen=True)
class Disturbance:
    """Something this process does to itself, from `at` to `at + seconds` after a call has got to `phase`.

    `python_hog` goes on all the time.
    """

    kind: Literal[
        "busy_loop",
        "sleeping_loop",
        "collect_in_loop",
        "collect_in_thread",
        "collect_in_caller",
        "hold_gil",
        "python_hog",
    ]
    at: float = 0.0
    seconds: float = 0.0
    phase: Literal["connect", "wait"] = "wait"
    """From `wait` on the request is sent, and nothing but the answer is missing."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One kind of delay."""

    name: str
    expected: Mapping[str, float]
    styles: tuple[Style, ...] = BOTH
    faults: tuple[Mapping[str, Any], ...] = ()
    """Of the agent: fields of `testbed.stub_agent.Fault`."""
    disturbances: tuple[Disturbance, ...] = ()
    place: Literal["agent", "tls", "backlog", "cluster"] = "agent"
    action: Literal["none", "lose_quorum", "pause_leader"] = "none"
    """What happens to the cluster."""
    host: str = "127.0.0.1"
    operation: tuple[str, tuple[Any, ...], Mapping[str, Any]] = SMALL_READ
    fresh: bool = False
    """Whether the call has to make its connection."""
    holders: int = 0
    """Calls that hold the pool's connections when this one starts."""
    retries: bool = False
    """Whether the session tries again, with a back-off."""
    calls: int = 1
    """Calls the figures are the mean of."""
    repeats: int | None = None
    ignored: frozenset[str] = frozenset()
    """Phases about which nothing is claimed: they take honest time of unknown length."""
    right: float = 0.95
    """Share of the injected delay that must be found, at least."""
    wrong: float = 0.05
    """Share that may show elsewhere, or too much."""
    note: str = field(default="", compare=False)


_PIECES: Final = 10
_ENTRY: Final = b'[{"LockIndex":0,"Key":"a","Flags":0,"Value":"Yg==","CreateIndex":1,"ModifyIndex":1}]'
_DRIP: Final[Mapping[str, Any]] = {
    "body": _ENTRY.ljust(_PIECES * 20).decode(),
    "drip_bytes": 20,
    "drip_every": 0.05,
    "path": "/v1/kv/a",
}
_DRIP_SECONDS: Final = (_PIECES - 1) * 0.05
_SOON: Final[Mapping[str, Any]] = {"path": "/v1/kv/a", "delay": 0.1}

SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario(name="slow server", expected={"wait": 0.5}, faults=({"delay": 0.5},)),
    Scenario(name="slow DNS", expected={"dns": 0.5}, host="slow.consul.test", fresh=True),
    Scenario(
        name="slow connect (full backlog)",
        expected={"connect": MEASURED},
        place="backlog",
        fresh=True,
        note="a full backlog drops the SYN; the kernel tries again after a second",
    ),
    Scenario(name="slow TLS handshake", expected={"tls": 0.5}, place="tls", fresh=True),
    Scenario(name="dripping body", expected={"receive": _DRIP_SECONDS}, faults=(_DRIP,)),
    Scenario(
        name="20 MB to decode",
        expected={"decode": MEASURED},
        operation=("kv.get", ("big/",), {"recurse": True}),
        ignored=frozenset({"send", "wait", "receive", "gc"}),
        note="the agent makes the answer on the same processors, and may get one before `send` is over; the truth is a stopwatch from the body to the end of the client's callback",
    ),
    Scenario(
        name="pool exhausted",
        expected={"pool": 0.5},
        holders=2,
        faults=({"path": "/v1/kv/held", "delay": 0.5},),
    ),
    Scenario(
        name="loop busy, answer waits",
        expected={"wait": 0.6, "event_loop": 0.5},
        styles=("asyncio",),
        faults=(_SOON,),
        disturbances=(Disturbance("busy_loop", 0.05, 0.55),),
        note="the answer comes after 0.1 s, the loop is free after 0.6 s",
    ),
    Scenario(
        name="loop in time.sleep, answer waits",
        expected={"wait": 0.6, "event_loop": 0.5},
        styles=("asyncio",),
        faults=(_SOON,),
        disturbances=(Disturbance("sleeping_loop", 0.05, 0.55),),
    ),
    Scenario(
        name="loop busy while connecting",
        expected={"connect": 0.5, "event_loop": 0.5},
        styles=("asyncio",),
        fresh=True,
        disturbances=(Disturbance("busy_loop", 0.0, 0.5, phase="connect"),),
    ),
    Scenario(
        name="loop busy, harmless",
        expected={"wait": 0.6},
        styles=("asyncio",),
        faults=({"path": "/v1/kv/a", "delay": 0.6},),
        disturbances=(Disturbance("busy_loop", 0.1, 0.3),),
        note="the loop is free again before the answer comes: nothing is lost",
    ),
    Scenario(
        name="GC pause in the middle (thread)",
        expected={"wait": MEASURED, "gc": 0.3},
        faults=(_SOON,),
        disturbances=(Disturbance("collect_in_thread", 0.03, 0.3),),
        note="a pause overlaps the server's time as well; the part beyond it is what the stopwatch sees",
    ),
    Scenario(
        name="GC pause in the middle (calling thread)",
        expected={"wait": MEASURED, "gc": 0.3},
        styles=("sync",),
        faults=(_SOON,),
        disturbances=(Disturbance("collect_in_caller", 0.03, 0.3),),
    ),
    Scenario(
        name="GC pause in the middle (loop)",
        expected={"wait": MEASURED, "gc": 0.3},
        styles=("asyncio",),
        faults=(_SOON,),
        disturbances=(Disturbance("collect_in_loop", 0.03, 0.3),),
    ),
    Scenario(
        name="thread holds the GIL",
        expected={"wait": MEASURED, "gil": MEASURED},
        faults=(_SOON,),
        disturbances=(Disturbance("hold_gil", 0.05, 0.5),),
    ),
    Scenario(
        name="pure-Python hog thread",
        expected={"gil": MEASURED},
        disturbances=(Disturbance("python_hog"),),
        calls=50,
        ignored=frozenset({"send", "wait", "receive", "decode", "other", "pool", "gc"}),
        right=0.5,
        note="5 ms at a time, near the kernel's tick: `gil` is a lower bound, the goal here is 50 %",
    ),
    Scenario(
        name="two retries, back-off 0.4",
        expected={"backoff": 0.4, "wait": 0.2},
        styles=("sync",),
        retries=True,
        faults=({"path": "/v1/kv/a", "status": 500, "delay": 0.1, "times": 2},),
        note="urllib3's Retry: no pause, then 0.4 s",
    ),
    Scenario(
        name="redirect",
        expected={"wait": 0.5},
        faults=(
            {"path": "/v1/kv/a", "redirect": "/v1/kv/b", "delay": 0.25, "times": 1},
            {"path": "/v1/kv/b", "delay": 0.25},
        ),
    ),
    Scenario(
        name="busy loop + slow server",
        expected={"wait": 0.9, "event_loop": 0.4},
        styles=("asyncio",),
        faults=({"path": "/v1/kv/a", "delay": 0.5},),
        disturbances=(Disturbance("busy_loop", 0.3, 0.6),),
        note="Consul had 0.5 s, then the answer waited for 0.4 s: wait - event_loop is Consul's",
    ),
    Scenario(
        name="pool wait + drip",
        expected={"pool": 0.5, "receive": _DRIP_SECONDS},
        holders=2,
        faults=({"path": "/v1/kv/held", "delay": 0.5}, _DRIP),
    ),
    Scenario(
        name="healthy blocking query",
        expected={"wait": MEASURED, "late": 0.0},
        operation=("kv.get", ("a",), {"wait": "2s", "index": "current"}),
        place="cluster",
        repeats=2,
        note="held by design: no cause, and not late",
    ),
    Scenario(
        name="late blocking query (SIGSTOP)",
        expected={"wait": MEASURED, "late": MEASURED},
        operation=("kv.get", ("a",), {"wait": "3s", "index": "current"}),
        place="cluster",
        action="pause_leader",
        repeats=1,
        note="late: beyond 3 s and a sixteenth",
    ),
    Scenario(
        name="leader lost",
        expected={"wait": MEASURED},
        place="cluster",
        action="lose_quorum",
        repeats=1,
        note="Consul holds the request for 7 s, then answers 500",
    ),
)
