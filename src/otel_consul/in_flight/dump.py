"""The open calls, for people and programs that look from inside the process: what a goroutine profile is to Go."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TextIO

from otel_consul import semconv
from otel_consul.background import forks
from otel_consul.in_flight.registry import Call, Registry
from otel_consul.stacks import waiters
from otel_consul.stacks.frames import of_threads
from otel_consul.stacks.walk import Frame

WIDTH: Final = 100
"""Columns a dump keeps to."""
_NAMED: Final = 3
"""Waiters a group of calls names."""


@dataclass(frozen=True)
class OpenCall:
    """One call that has not ended, as it was when somebody looked. None: not known."""

    operation: str
    """`kv.get` ..., as in `consul.operation`."""
    server_address: str | None
    server_port: int | None
    blocking: bool
    """Whether it is a blocking query."""
    deadline: str | None
    """What would stop it if the other side went silent: `none`, `per_read` or `total`."""
    phase: str
    """Where it is: a value of `consul.phase`."""
    age: float
    """Seconds since it started."""
    waiter: str | None
    """The name of the thread or task that waits for it."""
    file: str | None
    line: int | None
    function: str | None
    """The caller's own line: the innermost one that is not a library's."""
    frames: tuple[Frame, ...] = field(repr=False)
    """The lines that lead to the call, outermost first."""
    network_state: str | None = None
    """Whose silence it hears: a value of `consul.network.state`."""
    network_retransmits: int | None = None
    """Segments sent again while it waited."""
    network_silent_for: float | None = None
    """Seconds since anything came from the other side."""

    def stack(self) -> str:
        """`frames` as text, one `file:line function` a line."""
        return "\n".join(map(str, self.frames))


class Watched:
    """The registry that is looked at; None while the plugin is off."""

    registry: Registry | None = None


def open_calls() -> list[OpenCall]:
    """The calls that are open now, oldest first; empty while the plugin is off."""
    registry = Watched.registry
    if registry is None:
        return []
    forks.notice()
    calls = registry.snapshot()
    threads, names = of_threads(), waiters.names()
    return [_seen(call, waiters.stack(call.waiter, call.origin, threads), names) for call in calls]


def dump_open_calls(file: TextIO | None = None) -> None:
    """Print the open calls to `file` (standard error), grouped by operation and caller, the largest group first."""
    print(report(open_calls()), file=sys.stderr if file is None else file)


def report(calls: Iterable[OpenCall]) -> str:
    """What `dump_open_calls` prints."""
    groups: dict[tuple[object, ...], list[OpenCall]] = {}
    for call in calls:
        groups.setdefault((call.operation, call.file, call.line, call.function), []).append(call)
    count = sum(map(len, groups.values()))
    if not count:
        return "No open Consul calls."
    oldest = max(call.age for group in groups.values() for call in group)
    head = f"{count} open Consul call{'s' if count > 1 else ''}, the oldest for {oldest:.1f} s"
    ordered = sorted(groups.values(), key=len, reverse=True)
    return "\n".join([head, *(line for group in ordered for line in ("", *_described(group)))])


def _seen(call: Call, frames: list[Frame], names: dict[int, str]) -> OpenCall:
    caller = frames[-1] if frames else None
    server = call.series.server
    silence = call.silence()
    return OpenCall(
        operation=call.operation,
        server_address=server.get(semconv.SERVER_ADDRESS),
        server_port=server.get(semconv.SERVER_PORT),
        blocking=call.blocking,
        deadline=call.deadline,
        phase=call.phase_name,
        age=call.age,
        waiter=waiters.name(call.waiter, names),
        file=caller and caller.file,
        line=caller and caller.line,
        function=caller and caller.function,
        network_state=silence and silence.state,
        network_retransmits=silence and silence.retransmits,
        network_silent_for=silence and silence.silent_for,
        frames=tuple(frames),
    )


def _described(group: list[OpenCall]) -> Iterator[str]:
    eldest = max(group, key=lambda call: call.age)
    youngest = min(call.age for call in group)
    where = str(eldest.frames[-1]) if eldest.frames else "an unknown place"
    yield _fit(f"{len(group):6} x {eldest.operation} at ", where)
    facts = [f"age {youngest:.1f} to {eldest.age:.1f} s" if len(group) > 1 else f"age {eldest.age:.1f} s"]
    facts.append(f"deadline {_counted(call.deadline for call in group)}")
    facts.append(f"phase {_counted(call.phase for call in group)}")
    if any(call.network_state for call in group):
        facts.append(f"network {_counted(call.network_state for call in group)}")
    if eldest.blocking:
        facts.append("blocking")
    facts.append(_counted(_server(call) for call in group))
    yield _cut(" " * 9 + ", ".join(facts))
    waiters = sorted({call.waiter for call in group if call.waiter is not None})
    if waiters:
        more = f" and {len(waiters) - _NAMED} more" if len(waiters) > _NAMED else ""
        yield _cut(" " * 9 + f"in {', '.join(waiters[:_NAMED])}{more}")
    for frame in eldest.frames:
        yield _fit(" " * 11, str(frame))


def _server(call: OpenCall) -> str:
    address = call.server_address or "unknown agent"
    return address if call.server_port is None else f"{address}:{call.server_port}"


def _counted(values: Iterable[str | None]) -> str:
    """The different values, how many of each where there are several."""
    counts = Counter(value or "unknown" for value in values)
    if len(counts) == 1:
        return next(iter(counts))
    return " ".join(f"{value}({count})" for value, count in counts.most_common(_NAMED))


def _fit(start: str, place: str) -> str:
    """Both in one line, the place without its beginning if need be: its end tells more."""
    room = WIDTH - len(start)
    return start + (place if len(place) <= room else "…" + place[1 - room :])


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
