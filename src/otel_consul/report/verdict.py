"""What is to blame for the slow calls of an operation, in one sentence that the numbers bear out.

The sentence is about the slowest 1 % of the calls, because that is where a service hurts. Rules of honesty:

- Local delay overlaps the phases: a call that waits for its answer while the event loop is blocked waits for the loop.
  So where local delay explains most of the tail, it is named and Consul is not.
- `wait` is the server or the network. Where the kernel's account of the connection tells which, that one is named; else both.
- A call that never returned has no duration to explain: those come first.
- Consul holds blocking queries on purpose: only what they were late by is judged, and how they failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_consul.report.aggregate import Operation
from otel_consul.report.latency import WAITED_FOR, Makeup
from otel_consul.report.wording import (
    HELD_STEPS,
    LOCAL_WORDS,
    NEXT_STEPS,
    PHASE_WORDS,
    SILENCES,
    Cause,
    count,
    seconds,
)
from otel_consul.semconv import LOCAL_DELAYS, PHASES, Outcome

SLOW: Final = 0.1
"""Seconds. An operation whose P99 is below is not slow: agents answer from this very host in milliseconds."""
FAILING: Final = 0.01
"""The share of failed calls from which an operation is not well, however fast it fails."""
MOST: Final = 0.5
WORTH_SAYING: Final = 0.2
"""The share of the tail from which a second cause is named too."""


@dataclass(frozen=True)
class Verdict:
    """The dominant cause of an operation's trouble, if it has any."""

    operation: str
    cause: str
    """One of `Cause`, of `semconv.PHASES` or of `semconv.LOCAL_DELAYS`."""
    sentence: str
    seconds: float = 0.0
    """How much of the P99 the cause explains."""
    blocking: bool = False
    """Whether it is about blocking queries."""

    @property
    def well(self) -> bool:
        """Whether there is nothing to complain about."""
        return self.cause == Cause.NOTHING

    @property
    def next_step(self) -> str:
        """What to do about it."""
        if self.blocking and self.cause in HELD_STEPS:
            return HELD_STEPS[self.cause]
        return NEXT_STEPS.get(self.cause, "")

    def __str__(self) -> str:
        return f"{self.operation}: {self.sentence}"


def judge(operation: Operation) -> Verdict:
    """The verdict on one operation."""
    if operation.never_returned:
        return _never_returned(operation)
    return _held(operation) if operation.blocking else _plain(operation)


def worst(operations: list[Operation]) -> Verdict | None:
    """The verdict that matters most; None without calls. Of equal causes, the one that cost most."""
    verdicts = [judge(operation) for operation in sorted(operations, key=_cost, reverse=True)]
    for wanted in (
        {Cause.NO_DEADLINE},
        {Cause.NEVER_RETURNED},
        {*PHASES, *LOCAL_DELAYS, *WAITED_FOR},
        {Cause.ERRORS, Cause.TIMEOUTS},
    ):
        for verdict in verdicts:
            if verdict.cause in wanted:
                return verdict
    return verdicts[0] if verdicts else None


def _cost(operation: Operation) -> tuple[int, float]:
    return operation.never_returned, (operation.lateness if operation.blocking else operation.latency).seconds


def _never_returned(operation: Operation) -> Verdict:
    calls, without = operation.never_returned, operation.never_returned_without_deadline
    longest = seconds(operation.longest_hang)
    if operation.cut_off:
        sentence = f"{count(calls, 'call')} never returned (waited up to {longest})"
    else:
        sentence = f"{count(calls, 'call has', 'calls have')} not returned yet (waiting for up to {longest})"
    if without:
        whom = ("it" if calls == 1 else "them") if without == calls else f"{without:,} of them"
        sentence += f"; nothing would have stopped {whom} (no deadline)"
    if operation.sites:
        where, _ = operation.sites.most_common(1)[0]
        sentence += f"; called in {where}"
    if operation.silences:
        state, _ = operation.silences.most_common(1)[0]
        if state in SILENCES:
            sentence += f"; {SILENCES[state]}"
    cause = Cause.NO_DEADLINE if without else Cause.NEVER_RETURNED
    return Verdict(operation.name, cause, f"{sentence}.", blocking=operation.blocking)


def _plain(operation: Operation) -> Verdict:
    slowest = operation.latency.quantile(0.99)
    cause, share, sentence = _explain(operation, operation.latency.tail(), slowest, f"of {seconds(slowest)} at P99")
    kind, failed = _failed(operation)
    if not share:
        sentence = "took no time that can be measured"
    if slowest >= SLOW:
        if _hopeless(operation):
            return Verdict(operation.name, kind, f"{_joined(failed, sentence)}.")
        return Verdict(operation.name, cause, f"{_joined(sentence, failed)}.", share * slowest)
    if failed:
        return Verdict(operation.name, kind, f"{failed}.")
    return Verdict(operation.name, Cause.NOTHING, f"{sentence}.")


def _held(operation: Operation) -> Verdict:
    latest = operation.lateness.quantile(0.99)
    kind, failed = _failed(operation)
    if latest >= SLOW and not _hopeless(operation):
        whole = f"of the {seconds(latest)} it was late at P99"
        cause, share, sentence = _explain(operation, operation.lateness.tail(), latest, whole, at_most="up to ")
        return Verdict(operation.name, cause, f"{_joined(sentence, failed)}.", share * latest, blocking=True)
    if failed:
        return Verdict(operation.name, kind, f"{failed}.", blocking=True)
    if not operation.late:
        sentence = "held no longer than asked for"
    elif latest > 0:
        sentence = f"late by {seconds(latest)} at most, but for 1 %"
    else:
        sentence = "over 99 % came in time"
    return Verdict(operation.name, Cause.NOTHING, f"{sentence}.", blocking=True)


def _explain(
    operation: Operation, tail: Makeup, slowest: float, whole: str, at_most: str = ""
) -> tuple[str, float, str]:
    """The dominant cause of the tail, its share, and what to say.

    `whole` names what is explained; `at_most` goes before local delay where no more than that is known of it.
    """
    ranked = sorted(tail.phases.items(), key=lambda item: -item[1])
    (phase, share), (next_phase, next_share) = ranked[:2]
    local = dict(tail.local)
    if phase == "decode":  # it runs on the event loop and blocks it: the same time, named more exactly
        local["event_loop"] = 0.0
    cause, most_local = max(local.items(), key=lambda item: item[1])
    lost = min(1.0, sum(local.values()))
    if most_local and lost >= min(MOST, share):
        sentence = f"{at_most}{seconds(lost * slowest)} {whole} was {LOCAL_WORDS[cause]}"
        rest = share - lost  # at the least, since all that was lost may lie within this phase
        return cause, lost, sentence + _second(rest, slowest, PHASE_WORDS[phase])
    if phase == "wait":
        phase, share, words = _waited_for(tail, share, operation)
    else:
        words = PHASE_WORDS[phase]
    sentence = f"{seconds(share * slowest)} {whole} was {words}"
    if lost >= next_share:
        return phase, share, sentence + _second(lost, slowest, LOCAL_WORDS[cause], overlaps=True)
    return phase, share, sentence + _second(next_share, slowest, PHASE_WORDS[next_phase])


def _waited_for(tail: Makeup, wait: float, operation: Operation) -> tuple[str, float, str]:
    """Who was waited for, where most of the wait is known to be one's: cause, share and words."""
    who, share = max(tail.waited_for.items(), key=lambda item: item[1])
    if share < MOST * wait:
        return "wait", wait, PHASE_WORDS["wait"]
    words = PHASE_WORDS[who]
    if who == "network":
        times = operation.retransmits
        words += (
            f": a request was sent {times + 1} times before it arrived" if times else ": it is a long way to the agent"
        )
    return who, share, words


def _second(share: float, slowest: float, what: str, *, overlaps: bool = False) -> str:
    if share < WORTH_SAYING:
        return ""
    return f"; {'of it up to ' if overlaps else ''}{seconds(share * slowest)} was {what}"


def _joined(*sentences: str) -> str:
    return "; ".join(filter(None, sentences))


def _hopeless(operation: Operation) -> bool:
    """Whether most calls fail: then that is the trouble, not how long it takes."""
    return operation.outcomes[Outcome.ERROR] > MOST * operation.latency.count


def _failed(operation: Operation) -> tuple[str, str]:
    """How calls failed above all, and `2 of 40 calls timed out, 3 of 40 calls failed: ConnectionError`; "" if hardly any did."""
    outcomes, calls = operation.outcomes, operation.latency.count
    errors, timeouts = outcomes[Outcome.ERROR], outcomes[Outcome.TIMEOUT]
    kind = Cause.TIMEOUTS if timeouts > errors else Cause.ERRORS
    if not calls or (errors + timeouts) / calls < FAILING:
        return kind, ""
    found = []
    if timeouts:
        phase, _ = operation.timeouts.most_common(1)[0]
        where = f" in the phase `{phase}`" if phase != "other" else ""
        found.append(f"{timeouts:,} of {count(calls, 'call')} timed out{where}")
    if errors:
        why = f": {operation.errors.most_common(1)[0][0]}" if operation.errors else ""
        found.append(f"{errors:,} of {count(calls, 'call')} failed{why}")
    return kind, ", ".join(found)
