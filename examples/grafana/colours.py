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
    "backoff": "#CCCCDC",
    "other": "#FFCB7D",
}
CAUSES = dict(zip(semconv.LOCAL_DELAYS, ("#FA6400", "#FADE2A", "#E02F44", "#FFB357", "#8F3B00"), strict=True))
"""In the order of the vocabulary: shades of this process's orange."""
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

if missing := {*semconv.PHASES, *semconv.LOCAL_DELAYS} - {*PHASES, *CAUSES}:
    raise LookupError(f"without a colour: {missing}")
