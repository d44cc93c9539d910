"""What the doctor has to say: one finding is one line."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

TRACES: Final = "traces"
METRICS: Final = "metrics"
SIGNALS: Final = (TRACES, METRICS)
"""What a call leaves. It is seen if one of them arrives; logs only tell of calls that hang."""


class Level(enum.IntEnum):
    """How much a finding matters, the most first."""

    BROKEN = 0
    """Nothing of a call would be seen."""
    PROBLEM = 1
    """Part of it would not be seen, or what is seen would be failures."""
    WARNING = 2
    OK = 3


@dataclass(frozen=True)
class Finding:
    """One line."""

    code: str
    """A stable name for machines: `endpoint.refused`."""
    text: str
    """What is so, and what to do about it."""
    level: Level = Level.OK
    blocks: frozenset[str] = frozenset()
    """The signals that do not arrive because of it."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More, for machines."""
    meant: bool = False
    """Whether somebody may well have wanted it so: then it is named after what nobody wants."""


def ok(code: str, text: str, **facts: Any) -> Finding:
    """Something is as it should be."""
    return Finding(code, text, facts=facts)


def warning(code: str, text: str, **facts: Any) -> Finding:
    """Something may disappoint, although calls are seen."""
    return Finding(code, text, Level.WARNING, facts=facts)


def problem(code: str, text: str, **facts: Any) -> Finding:
    """Calls are seen, and are not what they should be."""
    return Finding(code, text, Level.PROBLEM, facts=facts)


def blocked(code: str, text: str, signals: Iterable[str] = SIGNALS, **facts: Any) -> Finding:
    """These signals do not arrive."""
    return Finding(code, text, Level.BROKEN, frozenset(signals), facts)


def arriving(findings: Iterable[Finding]) -> list[str]:
    """The signals that nothing blocks."""
    lost: set[str] = set()
    for finding in findings:
        lost |= finding.blocks
    return [signal for signal in SIGNALS if signal not in lost]


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The most important first; among equals, causes before what follows from them, as they came."""
    found = list(findings)
    left = arriving(found)
    weighed = (replace(one, level=Level.PROBLEM) if one.blocks and left else one for one in found)
    return sorted(weighed, key=lambda one: (one.level, one.meant))
