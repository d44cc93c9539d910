"""What is to blame for the slow calls of an operation, in one sentence that the numbers bear out.

The sentence is about the slowest 1 % of the calls, because that is where a service hurts. Rules of honesty:

- Local delay overlaps the phases: a call that waits for its answer while the event loop is blocked waits for the loop.
  So where local delay explains most of the tail, it is named and Consul is not.
- `wait` is the server or the network. A client cannot tell which: both are named.
- A call that never returned has no duration to explain: those come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_consul.report.aggregate import Operation
from otel_consul.report.latency import Makeup
from otel_consul.report.wording import LOCAL_WORDS, NEXT_STEPS, OUTCOME_WORDS, PHASE_WORDS, count, seconds
from otel_consul.semconv import LOCAL_DELAYS, PHASES, Outcome

SLOW: Final = 0.1
"""Seconds. An operation whose P99 is below is not slow: agents answer from this very host in milliseconds."""
FAILING: Final = 0.01
"""The share of failed calls from which an operation is not well, however fast it fails."""
MOST: Final = 0.5
WORTH_SAYING: Final = 0.2
"""The share of the tail from which a second cause is named too."""


class Cause:
    """What can dominate: a phase, a local delay, or one of these."""

    NOTHING: Final = "nothing"
    NO_DEADLINE: Final = "no_deadline"
    NEVER_RETURNED: Final = "never_returned"
    ERRORS: Final = "errors"


@dataclass(frozen=True)
class Verdict:
    """The dominant cause of an operation's trouble, if it has any."""

    operation: str
    cause: str
    """One of `Cause`, of `semconv.PHASES` or of `semconv.LOCAL_DELAYS`."""
    sentence: str
    seconds: float = 0.0
    """How much of the P99 the cause explains."""

    @property
    def well(self) -> bool:
        """Whether there is nothing to complain about."""
        return self.cause == Cause.NOTHING

    @property
    def next_step(self) -> str:
        """What to do about it, if that can be said in general."""
        return NEXT_STEPS.get(self.cause, "")

    def __str__(self) -> str:
        return f"{self.operation}: {self.sentence}"


def judge(operation: Operation) -> Verdict:
    """The verdict on one operation."""
    if operation.never_returned:
        return _never_returned(operation)
    slowest = operation.latency.quantile(0.99)
    failed = _failed(operation)
    if slowest < SLOW:
        if failed:
            return Verdict(operation.name, Cause.ERRORS, f"{failed}.")
        return Verdict(operation.name, Cause.NOTHING, f"99 % took under {seconds(slowest)}.")
    cause, share, sentence = _explain(operation.latency.tail(), slowest)
    if failed:
        sentence += f"; {failed}"
    return Verdict(operation.name, cause, f"{sentence}.", share * slowest)


def worst(operations: list[Operation]) -> Verdict | None:
    """The verdict that matters most; None without calls."""
    verdicts = [judge(operation) for operation in operations]  # first where most time went
    for wanted in ({Cause.NO_DEADLINE}, {Cause.NEVER_RETURNED}, {*PHASES, *LOCAL_DELAYS}, {Cause.ERRORS}):
        for verdict in verdicts:
            if verdict.cause in wanted:
                return verdict
    return verdicts[0] if verdicts else None


def _never_returned(operation: Operation) -> Verdict:
    calls, without = operation.never_returned, operation.never_returned_without_deadline
    sentence = f"{count(calls, 'call')} never returned (waited up to {seconds(operation.longest_hang)})"
    if without:
        whom = "them" if without == calls else f"{without:,} of them"
        sentence += f"; nothing would have stopped {whom} (no deadline)"
    if operation.sites:
        where, _ = operation.sites.most_common(1)[0]
        sentence += f"; called in {where}"
    return Verdict(operation.name, Cause.NO_DEADLINE if without else Cause.NEVER_RETURNED, f"{sentence}.")


def _explain(tail: Makeup, slowest: float) -> tuple[str, float, str]:
    """The dominant cause of the tail, its share, and what to say."""
    ranked = sorted(tail.phases.items(), key=lambda item: -item[1])
    (phase, share), (next_phase, next_share) = ranked[:2]
    local = dict(tail.local)
    if phase == "decode":  # it runs on the event loop and blocks it: the same time, named more exactly
        local["event_loop"] = 0.0
    cause, most_local = max(local.items(), key=lambda item: item[1])
    lost = min(1.0, sum(local.values()))
    if most_local and lost >= min(MOST, share):
        sentence = f"{_of(lost, slowest)} at P99 was {LOCAL_WORDS[cause]}"
        rest = share - lost  # at the least, since all that was lost may lie within this phase
        return cause, lost, sentence + _second(rest, slowest, PHASE_WORDS[phase])
    sentence = f"{_of(share, slowest)} at P99 was {PHASE_WORDS[phase]}"
    if lost >= next_share:
        return phase, share, sentence + _second(lost, slowest, LOCAL_WORDS[cause], overlaps=True)
    return phase, share, sentence + _second(next_share, slowest, PHASE_WORDS[next_phase])


def _of(share: float, slowest: float) -> str:
    return f"{seconds(share * slowest)} of {seconds(slowest)}"


def _second(share: float, slowest: float, what: str, *, overlaps: bool = False) -> str:
    if share < WORTH_SAYING:
        return ""
    return f"; {'of it up to ' if overlaps else ''}{seconds(share * slowest)} was {what}"


def _failed(operation: Operation) -> str:
    """`3 of 40 calls failed (ConnectionError), 2 timed out`, or nothing if hardly any did."""
    outcomes, calls = operation.outcomes, operation.latency.count
    errors, timeouts = outcomes[Outcome.ERROR], outcomes[Outcome.TIMEOUT]
    if not calls or (errors + timeouts) / calls < FAILING:
        return ""
    found = []
    if timeouts:
        phase, _ = operation.timeouts.most_common(1)[0]
        one, several = OUTCOME_WORDS[Outcome.TIMEOUT]
        where = f" in the phase `{phase}`" if phase != "other" else ""
        found.append(f"{count(timeouts, one, several)}{where}")
    if errors:
        kind = f": {operation.errors.most_common(1)[0][0]}" if operation.errors else ""
        found.append(f"{errors:,} of {count(calls, 'call')} failed{kind}")
    return ", ".join(found)
