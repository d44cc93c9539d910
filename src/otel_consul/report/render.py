"""The report as text: 80 columns are enough, colour is welcome but says nothing that the words do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from otel_consul.report.aggregate import Aggregate, Operation
from otel_consul.report.bars import LEAST, bar
from otel_consul.report.verdict import Cause, Verdict, judge, worst
from otel_consul.report.wording import LOCAL_NAMES, OUTCOME_WORDS, count, percent, seconds
from otel_consul.semconv import Outcome

MAX_WIDTH: Final = 100
MINOR: Final = 0.01
"""Operations with a smaller share of all the time, and well, get no bar: there is nothing to look at."""
NAME_WIDTH: Final = 24
BAD: Final = frozenset({Outcome.ERROR, Outcome.TIMEOUT, Outcome.ABANDONED})
ASCII: Final = str.maketrans({"█": "#", "▓": "=", "▒": "-", "░": ".", "·": "|", "→": ">", "…": "~", "─": "-"})
"""For terminals and files that cannot show the rest."""


def report(aggregate: Aggregate, title: str = "Consul calls", *, out: TextIO | None = None) -> None:
    """Print what `aggregate` knows to `out` (default: standard output)."""
    show(aggregate, Console(file=out, highlight=False, emoji=False, markup=False), title)


def show(aggregate: Aggregate, console: Console, title: str = "Consul calls") -> None:
    """Print what `aggregate` knows on `console`."""
    width = min(console.width, MAX_WIDTH)
    if console.encoding.startswith("utf"):
        console.print(Group(*_lines(aggregate, title)), width=width)
        return
    with console.capture() as capture:
        console.print(Group(*_lines(aggregate, title)), width=width)
    console.file.write(capture.get().translate(ASCII))


def _lines(aggregate: Aggregate, title: str) -> Iterator[RenderableType]:
    yield Rule(Text(title, "bold"), characters="─", style="dim")
    plain, held = aggregate.operations, aggregate.blocking
    if not plain and not held:
        yield Text("No Consul call has ended yet.")
        return
    if plain:
        yield Text(f"{'':{NAME_WIDTH}}{'calls':>8}{'P50':>10}{'P99':>10}{'no deadline':>14}", "dim")
    total = sum(operation.latency.seconds for operation in plain)
    for operation in plain:
        yield from _operation(operation, minor=operation.latency.seconds < MINOR * total)
    if held:
        yield Text()
        yield Text("Blocking queries: Consul holds them on purpose, so they are no latency", "dim")
    for operation in held:
        yield from _blocking(operation)
    suspects = [*plain, *(operation for operation in held if operation.never_returned)]
    yield from _advice(worst(suspects))


def _operation(operation: Operation, *, minor: bool) -> Iterator[RenderableType]:
    latency, verdict = operation.latency, judge(operation)
    trouble = not verdict.well
    if latency.count:
        yield _numbers(operation, trouble)
        all_ok = operation.outcomes[Outcome.OK] == latency.count
        if not all_ok or operation.resends:
            yield _indented(_outcomes(operation))
        if trouble or not minor:
            yield _indented(Text("all  ", "dim").append_text(bar(latency.makeup().phases)))
            yield from _local(operation)
        if trouble and verdict.cause != Cause.ERRORS:
            yield _indented(Text("P99  ", "dim").append_text(bar(latency.tail().phases)))
    else:  # nothing but calls that hang
        yield Text(f"{_short(operation.name):{NAME_WIDTH}}{'none ended':>18}", "bold")
    if operation.leaderless:
        yield _indented(Text(f"{count(operation.leaderless, 'read')} of a server without a leader", "yellow"))
    if operation.forked:
        forked = f"{count(operation.forked, 'call')} on a client made before fork(): answers may be mixed up"
        yield _indented(Text(forked, "bold red"))
    if trouble:
        yield _sentence(verdict)


def _numbers(operation: Operation, trouble: bool) -> Text:
    latency = operation.latency
    no_deadline = operation.no_deadline / latency.count
    line = Text(f"{_short(operation.name):{NAME_WIDTH}}", "bold")
    line.append(f"{latency.count:>8,}{seconds(latency.quantile(0.5)):>10}", "not bold")
    line.append(f"{seconds(latency.quantile(0.99)):>10}", "bold red" if trouble else "not bold")
    line.append(f"{percent(no_deadline):>14}", "bold yellow" if no_deadline else "not bold")
    if operation.outcomes[Outcome.OK] == latency.count:
        line.append("  all ok", "not bold green")
    return line


def _outcomes(operation: Operation) -> Text:
    line = Text()
    for outcome, (one, several) in OUTCOME_WORDS.items():
        number = operation.outcomes[outcome]
        if number:
            line.append(" · " if line else "", "dim")
            line.append(count(number, one, several), "bold red" if outcome in BAD else "")
    if operation.errors:
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in operation.errors.most_common(3))
        line.append(f" ({kinds})")
    if operation.resends:
        line.append(f" · {count(operation.resends, 'retry', 'retries')}", "yellow")
    return line


def _local(operation: Operation) -> Iterator[RenderableType]:
    makeup = operation.latency.makeup().local
    found = sorted(((share, name) for name, share in makeup.items() if share >= LEAST), reverse=True)
    if found:
        words = " · ".join(f"{LOCAL_NAMES[name]} {percent(share)}" for share, name in found)
        yield _indented(Text("of it lost in this process: ", "dim").append(words, "not dim yellow"))


def _blocking(operation: Operation) -> Iterator[RenderableType]:
    calls = operation.latency.count
    line = Text(f"{_short(operation.name):{NAME_WIDTH}}", "bold")
    line.append(f"{calls:>8,}", "not bold")
    ends = [f"{number:,} {name.replace('_', ' ')}" for name, number in sorted(operation.wakeups.items())]
    quiet = {Outcome.OK, Outcome.NOT_FOUND}
    ends += [
        count(operation.outcomes[outcome], one, several)
        for outcome, (one, several) in OUTCOME_WORDS.items()
        if outcome not in quiet and operation.outcomes[outcome]
    ]
    line.append("  " + " · ".join(ends), "not bold")
    yield line
    if operation.late:
        late = f"{operation.late:,} late, by {seconds(operation.lateness.seconds)} in all: surely delay"
        yield _indented(Text(late, "yellow"))
    if operation.never_returned:
        yield _sentence(judge(operation))


def _advice(verdict: Verdict | None) -> Iterator[RenderableType]:
    if verdict is None:
        return
    yield Text()
    if verdict.well:
        yield Text(f"Nothing stands out. Most time went to {verdict}", "green")
    else:
        yield Text(f"Look first at {verdict.operation}. ", "bold").append(verdict.next_step, "not bold")


def _sentence(verdict: Verdict) -> RenderableType:
    line = Table.grid()
    line.add_row(Text("  → ", "yellow"), Text(str(verdict), "yellow"))
    return line


def _indented(text: Text) -> RenderableType:
    return Padding(text, (0, 0, 0, 2), expand=False)


def _short(name: str) -> str:
    return name if len(name) < NAME_WIDTH else name[: NAME_WIDTH - 2] + "…"
