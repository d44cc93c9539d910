"""What the demo prints: about the program, only what its exported telemetry says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from demo.acts import Act
from demo.blame import Finding

BEAT = 0.1
"""Seconds between two looks at what has arrived."""
REPORT_EVERY = 2.0
"""Seconds between two lines of progress where the screen is a file."""


def opening(console: Console, consul_name: str) -> None:
    console.print(
        Panel(
            f"An ordinary program, demo/shop.py, talks to {consul_name}, and in most acts something goes "
            "wrong. Who is to blame? All you read about the program below comes from the telemetry it exports "
            "by OTLP; it runs unmodified under [bold]opentelemetry-instrument[/]. It takes about a minute.",
            title="[bold]Whose fault is it?[/]",
            width=min(console.width, 80),
            padding=(1, 2),
        )
    )


def heading(console: Console, number: int, of: int, title: str, what: str) -> None:
    console.print()
    console.print(Text(f" Act {number} of {of}: {title} ", "bold reverse"))
    console.print(Padding(Text(what), (0, 1), expand=False))


def wait(console: Console, act: Act, look: Callable[[], str]) -> None:
    """Wait `act.seconds`, showing what `look` says; it may raise to end the wait."""
    end = time.monotonic() + act.seconds
    if not console.is_terminal:
        _wait_plainly(console, end, look)
        return
    columns = (SpinnerColumn(), BarColumn(28), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=act.seconds)
        while (left := end - time.monotonic()) > 0:
            progress.update(task, completed=act.seconds - left, description=look())
            time.sleep(BEAT)


def _wait_plainly(console: Console, end: float, look: Callable[[], str]) -> None:
    said = time.monotonic()
    while (now := time.monotonic()) < end:
        words = look()
        if now - said >= REPORT_EVERY:
            console.print(f"  ... {words}", style="dim")
            said = now
        time.sleep(BEAT)


def finding(console: Console, found: Finding) -> None:
    console.print()
    mark, style = ("✔", "bold green") if found.right else ("✘", "bold red")
    console.print(Text(f"{mark} Injected: {found.injected}. Blamed: {found.blamed}.", style))


def closing(console: Console, findings: Sequence[Finding], seconds: float) -> None:
    console.print()
    table = Table(
        box=None, padding=(0, 2, 0, 0), title="What was done, and whom the telemetry blamed", title_justify="left"
    )
    for column in ("act", "done to the program", "blamed by the telemetry", ""):
        table.add_column(column, header_style="dim", overflow="fold")
    for number, found in enumerate(findings, 1):
        mark = Text("✔", "green") if found.right else Text("✘", "bold red")
        table.add_row(f"{number} {found.title}", found.injected, found.blamed, mark)
    console.print(table)
    console.print(f"\n{seconds:.0f} s in all. For your own program, without any back end:", style="dim")
    command = "opentelemetry-instrument --traces_exporter consul_report \\\n      --metrics_exporter none python app.py"
    console.print(f"  {command}\n", style="bold", markup=False)
