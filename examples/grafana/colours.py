"""One colour for one culprit, on every panel: purple is Consul, blue the network, orange this process."""

from __future__ import annotations

from otel_consul import semconv

CULPRITS = {"Consul": "purple", "Network": "blue", "This process": "orange"}
PHASES = {
    "pool": "#FF780A",
    "dns": "#C0D8FF",
    "connect": "#8AB8FF",
    "tls": "#5794F2",
    "send": "#3274D9",
    "wait": "#A352CC",
    "receive": "#1F60C4",
    "decode": "#FFB357",
    "other": "#FFCB7D",
}
CAUSES = {"event_loop": "#FA6400", "gc": "#FADE2A", "gil": "#E02F44"}
STALLED = "/ stalled$/"
"""Legends, by regular expression, that are an alarm unless they are zero."""
OUTCOMES = {
    rf"/^\S+ ({semconv.Outcome.ERROR}|{semconv.Outcome.ABANDONED})/": "red",
    rf"/^\S+ {semconv.Outcome.TIMEOUT}/": "orange",
    rf"/^\S+ {semconv.Outcome.CANCELLED}/": "blue",
}
"""Legends, by regular expression: all that match get shades of one colour."""
NEUTRAL = "#7B8494"
"""Of bars that accuse nobody."""
NEUTRAL_SCHEME = "Viridis"

if missing := set(semconv.PHASES) - set(PHASES):
    raise LookupError(f"phases without a colour: {missing}")
