"""Seconds, counts and causes in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_consul.semconv import NetworkState, Outcome

MINUTE: Final = 60
HOUR: Final = 3600


class Cause:
    """What can dominate: a phase, a local delay, or one of these."""

    NOTHING: Final = "nothing"
    NO_DEADLINE: Final = "no_deadline"
    NEVER_RETURNED: Final = "never_returned"
    ERRORS: Final = "errors"
    TIMEOUTS: Final = "timeouts"


PHASE_WORDS: Final[Mapping[str, str]] = {
    "pool": "waiting for a free connection",
    "dns": "looking up the agent's name (DNS)",
    "connect": "opening a connection",
    "tls": "the TLS handshake",
    "send": "sending the request",
    "wait": "waiting for Consul or the network",
    "consul": "waiting for Consul: its side had the whole request",
    "network": "lost by the network",
    "receive": "receiving the answer: it trickled in",
    "decode": "decoding the answer in this process",
    "backoff": "waiting on purpose, between two tries",
    "other": "outside the measured phases",
}
"""`2.10 s was ...`"""

LOCAL_WORDS: Final[Mapping[str, str]] = {
    "event_loop": "lost in this process: its event loop was blocked",
    "gc": "lost in this process: the garbage collector ran",
    "gil": "lost in this process: it could not run (another thread held the GIL)",
    "cpu": "lost to other processes: this one was ready to run, and they had the processors",
    "throttled": "lost to this container's CPU limit",
}
"""`2.10 s was ...`"""

NEXT_STEPS: Final[Mapping[str, str]] = {
    "pool": "Allow more connections, or give watches a client of their own.",
    "dns": "Check the resolver, or name the agent by its address.",
    "connect": "Keep connections open; check the agent's limits and its accept queue.",
    "tls": "Keep connections open, so that the handshake is paid once.",
    "send": "Check the network, and how much is written at once.",
    "wait": "Compare with Consul's own metrics: nothing here tells a slow Consul from a slow network.",
    "consul": "Look at Consul's own metrics and log, or at the proxy before it; the network has done its part.",
    "network": "Look at the way to the agent: what drops packets there, or how far it is. Consul is not at fault.",
    "receive": "Check the network, and how much is read at once.",
    "decode": "Read less at once, or decode outside the event loop.",
    "backoff": "See why the first try fails; the rest is the program's own pause.",
    "other": "Profile the program: it is neither Consul nor the network that could be seen.",
    "event_loop": "Move what computes or blocks out of the event loop. Consul is not at fault.",
    "gc": "Make less garbage, or tune the collector. Consul is not at fault.",
    "gil": "Find the threads that compute. Consul is not at fault.",
    "cpu": "Run fewer processes on this machine, or a larger one. Consul is not at fault.",
    "throttled": "Raise the CPU limit, or compute less. Consul is not at fault.",
    Cause.NO_DEADLINE: "Set a time-out on the client.",
    Cause.NEVER_RETURNED: "Find out what Consul and the network did meanwhile; a shorter time-out ends such calls sooner.",
    Cause.ERRORS: "Check that the agent runs at that address, its log, and what the token may do.",
    Cause.TIMEOUTS: "Allow more time, or find out what is slow in the phase they struck in.",
}
"""What to do about a cause."""

SILENCES: Final[Mapping[str, str]] = {
    NetworkState.UNACKNOWLEDGED: "the other side never acknowledged the request: the network, or a host that is gone",
    NetworkState.ACKNOWLEDGED: "the other side has the whole request and is silent: Consul, not the network",
    NetworkState.CLOSED_BY_PEER: "the other side has hung up, and nobody here has noticed",
}
"""What is known of calls that never returned."""

HELD_STEPS: Final[Mapping[str, str]] = {
    Cause.NO_DEADLINE: "Set a time-out on the client that outlasts the wait by more than a sixteenth.",
    Cause.TIMEOUTS: "Let the time-out outlast the wait by more than a sixteenth: so much Consul adds to it.",
}
"""Where that is something else for blocking queries."""

LOCAL_NAMES: Final[Mapping[str, str]] = {
    "event_loop": "event loop",
    "gc": "GC",
    "gil": "GIL",
    "cpu": "no processor",
    "throttled": "CPU limit",
}

OUTCOME_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    Outcome.OK: ("ok", "ok"),
    Outcome.NOT_FOUND: ("not found", "not found"),
    Outcome.NOT_APPLIED: ("not applied", "not applied"),
    Outcome.ERROR: ("error", "errors"),
    Outcome.TIMEOUT: ("time-out", "time-outs"),
    Outcome.CANCELLED: ("cancelled", "cancelled"),
    Outcome.ABANDONED: ("abandoned", "abandoned"),
}
"""One, and several, in the order a report lists them."""


def seconds(value: float) -> str:
    """A duration, three digits at most: `0.84 ms`, `412 ms`, `2.10 s`, `28.4 s`, `3.5 min`."""
    for limit, factor, digits, unit in (
        (0.001, 1e3, 2, "ms"),
        (0.00995, 1e3, 1, "ms"),
        (0.9995, 1e3, 0, "ms"),
        (9.995, 1, 2, "s"),
        (99.95, 1, 1, "s"),
        (10 * MINUTE, 1, 0, "s"),
        (2 * HOUR, 1 / MINUTE, 0, "min"),
    ):
        if value < limit:
            return f"{value * factor:.{digits}f} {unit}"
    return f"{value / HOUR:.1f} h"


def percent(share: float) -> str:
    """A share of 1, never rounded to all or nothing."""
    if 0 < share < 0.005:  # noqa: PLR2004 - what would round to 0
        return "<1 %"
    if 0.995 <= share < 1:  # noqa: PLR2004 - what would round to 100
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")


def count(number: int, one: str, several: str = "") -> str:
    """`1 call`, `1,204 calls`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
