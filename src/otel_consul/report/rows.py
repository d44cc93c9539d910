"""What the report says of one operation: its numbers, how its calls ended, where the time went, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otel_consul.report.aggregate import Operation
from otel_consul.report.bars import LEAST, bar, dominant
from otel_consul.report.latency import Latency, Makeup
from otel_consul.report.verdict import Verdict, judge
from otel_consul.report.wording import LOCAL_NAMES, OUTCOME_WORDS, Cause, count, percent, seconds
from otel_consul.semconv import PHASES, Outcome, Phase

ALIKE: Final = 0.02
"""The slowest calls get a bar of their own where a share is further than this from that of all calls."""
CALLS_WIDTH: Final = 32
"""Of the name and the number of calls."""
ANSWERED: Final = frozenset({Outcome.OK, Outcome.NOT_FOUND})
"""Outcomes of blocking queries that go without saying: how they were woken says more."""


def header(*, blocking: bool = False) -> Text:
    """The names of the columns."""
    held = "held " if blocking else ""
    return Text(f"{'calls':>{CALLS_WIDTH}}{held + 'P50':>10}{held + 'P99':>10}{'no deadline':>14}", "dim")


def plain(operation: Operation, *, minor: bool) -> Iterator[RenderableType]:
    """An operation whose time is latency. `minor`: it took next to none of it, so two lines do unless it is unwell."""
    latency, verdict = operation.latency, judge(operation)
    yield _numbers(operation, verdict)
    if latency.count:
        if operation.outcomes[Outcome.OK] != latency.count or operation.resends:
            yield _indented(_outcomes(operation))
        phases = latency.makeup().phases
        if minor and verdict.well:
            yield _bar("all", dominant(phases))
        else:
            yield _bar("all", bar(phases))
        yield from _local(latency.makeup())
        if not verdict.well and verdict.cause not in {Cause.ERRORS, Cause.TIMEOUTS}:
            tail = latency.tail().phases
            if any(abs(tail[name] - share) > ALIKE for name, share in phases.items()):
                yield _bar("P99", bar(tail))
    yield from _remarks(operation)
    if not (minor and verdict.well):
        yield _sentence(verdict)


def held(operation: Operation) -> Iterator[RenderableType]:
    """Blocking queries: how long they were held, and what they were late by."""
    latency, lateness, verdict = operation.latency, operation.lateness, judge(operation)
    yield _numbers(operation, verdict)
    if latency.count:
        yield _indented(_outcomes(operation))
        phases = latency.makeup().phases
        if phases[PHASES[Phase.WAIT]] < 1 - LEAST:
            yield _bar("all", bar(phases))
        if operation.late:
            yield from _late(operation)
        else:
            yield from _local(latency.makeup())
        if not verdict.well and lateness.seconds:
            yield _bar("late", bar(lateness.makeup().phases))
    yield from _remarks(operation)
    yield _sentence(verdict)


def _numbers(operation: Operation, verdict: Verdict) -> Text:
    latency = operation.latency
    calls = f"{latency.count:,}" if latency.count else "none ended"
    room = CALLS_WIDTH - len(calls) - 1
    name = operation.name if len(operation.name) <= room else operation.name[: room - 1] + "…"
    line = Text(name, "bold").append(f"{calls:>{CALLS_WIDTH - len(name)}}", "not bold")
    if not latency.count:  # nothing but calls that hang
        return line
    no_deadline = operation.no_deadline / latency.count
    line.append(f"{seconds(latency.quantile(0.5)):>10}", "not bold")
    slow = not verdict.well and not operation.blocking
    line.append(f"{seconds(latency.quantile(0.99)):>10}", "bold red" if slow else "not bold")
    line.append(f"{percent(no_deadline):>14}", "bold yellow" if no_deadline else "not bold")
    if operation.outcomes[Outcome.OK] == latency.count and not operation.blocking:
        line.append("  all ok", "not bold green")
    return line


def _outcomes(operation: Operation) -> Text:
    parts = []
    if operation.blocking:
        parts += [Text(f"{number:,} {name.replace('_', ' ')}") for name, number in sorted(operation.wakeups.items())]
    for outcome, (one, several) in OUTCOME_WORDS.items():
        number = operation.outcomes[outcome]
        if number and not (operation.wakeups and outcome in ANSWERED):
            parts.append(Text(count(number, one, several), "bold red" if outcome in Outcome.FAILURES else ""))
    line = Text(" · ", "dim").join(parts)
    if operation.errors:
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in operation.errors.most_common(3))
        line.append(f" ({kinds})")
    if operation.resends:
        line.append(f" · {count(operation.resends, 'retry', 'retries')}", "yellow")
    return line


def _local(makeup: Makeup) -> Iterator[RenderableType]:
    found = sorted(((share, name) for name, share in makeup.local.items() if share >= LEAST), reverse=True)
    if found:
        words = " · ".join(f"{LOCAL_NAMES[name]} {percent(share)}" for share, name in found)
        yield _indented(Text("of it lost in this process: ", "dim").append(words, "not dim yellow"))


def _late(operation: Operation) -> Iterator[RenderableType]:
    lateness: Latency = operation.lateness
    yield _indented(Text(f"{operation.late:,} late, by {seconds(lateness.seconds)} in all", "yellow"))
    found = sorted(((share, name) for name, share in lateness.makeup().local.items() if share >= LEAST), reverse=True)
    if found:
        words = " · ".join(f"{LOCAL_NAMES[name]} {seconds(share * lateness.seconds)}" for share, name in found)
        yield _indented(Text("of it lost in this process, at most: ", "dim").append(words, "not dim yellow"))


def _remarks(operation: Operation) -> Iterator[RenderableType]:
    if operation.leaderless:
        yield _indented(Text(f"{count(operation.leaderless, 'read')} of a server without a leader", "yellow"))
    if operation.forked:
        forked = f"{count(operation.forked, 'call')} on a client made before fork(): answers may be mixed up"
        yield _indented(Text(forked, "bold red"))


def _bar(name: str, text: Text) -> RenderableType:
    return _indented(Text(f"{name:4} ", "dim").append_text(text))


def _sentence(verdict: Verdict) -> RenderableType:
    """The arrow means: look here."""
    mark, style = ("    ", "dim") if verdict.well else ("  → ", "yellow")
    line = Table.grid()
    line.add_row(Text(mark, style), Text(str(verdict), style))
    return line


def _indented(text: Text) -> RenderableType:
    return Padding(text, (0, 0, 0, 2), expand=False)
