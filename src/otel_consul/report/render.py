"""The report as text: 80 columns are enough, colour is welcome but says nothing that the words do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from otel_consul.report import rows
from otel_consul.report.aggregate import Aggregate, Operation
from otel_consul.report.verdict import worst
from otel_consul.report.wording import seconds

MAX_WIDTH: Final = 100
MINOR: Final = 0.01
"""Operations with a smaller share of all the time, and well, get two lines: there is not much to look at."""
ASCII: Final = str.maketrans({"█": "#", "▓": "=", "▒": "-", "░": ".", "·": "|", "→": ">", "…": "~", "─": "-"})
"""For terminals and files that cannot show the rest."""


def report(aggregate: Aggregate, title: str = "Consul calls", *, out: TextIO | None = None) -> None:
    """Print what `aggregate` knows to `out` (default: standard output)."""
    show(aggregate, Console(file=out, highlight=False, emoji=False, markup=False), title)


def show(aggregate: Aggregate, console: Console, title: str = "Consul calls") -> None:
    """Print what `aggregate` knows on `console`."""
    with console.capture() as capture:
        console.print(Group(*_lines(aggregate, title)), width=min(console.width, MAX_WIDTH))
    text = capture.get()
    if not console.is_terminal:
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    console.file.write(text if console.encoding.startswith("utf") else text.translate(ASCII))


def _lines(aggregate: Aggregate, title: str) -> Iterator[RenderableType]:
    yield Rule(Text(title, "bold"), characters="─", style="dim")
    plain, held = aggregate.operations, aggregate.blocking
    if not plain and not held:
        yield Text("No Consul call has ended yet.")
        return
    if plain:
        yield rows.header()
    total = sum(operation.latency.seconds for operation in plain)
    for operation in plain:
        yield from rows.plain(operation, minor=operation.latency.seconds < MINOR * total)
    if held:
        if plain:
            yield Text()
        yield Text("Blocking queries: Consul holds them on purpose, so this is no latency", "dim")
        yield rows.header(blocking=True)
    for operation in held:
        yield from rows.held(operation)
    yield Text()
    yield _closing(plain, held)


def _closing(plain: list[Operation], held: list[Operation]) -> Text:
    """What to do first, or that nothing needs to be done."""
    verdict = worst(plain + held)
    if verdict is not None and not verdict.well:
        which = " (blocking)" if verdict.blocking else ""
        return Text(f"Look first at {verdict.operation}{which}. ", "bold").append(verdict.next_step, "not bold")
    found = []
    if plain:
        slowest = max(plain, key=lambda operation: operation.latency.quantile(0.99))
        found.append(f"the slowest P99 is {seconds(slowest.latency.quantile(0.99))} ({slowest.name})")
    if held:
        late = sum(operation.late for operation in held)
        found.append("next to no blocking query was late" if late else "no blocking query was late")
    return Text(f"Nothing stands out: {', and '.join(found)}.", "green")
