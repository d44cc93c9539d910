"""What it looks like. After a wanted change: UPDATE_GOLDEN=1 pytest tests/report, and read the diff."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from otel_consul.report import Aggregate, report, show
from otel_consul.report.bars import WIDTH, bar, cells, dominant
from otel_consul.report.wording import percent, seconds
from otel_consul.semconv import PHASES
from tests.report.spans import blocking, busy_day, calls, stalled

GOLDEN = Path(__file__).parent / "golden"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def console(encoding: str = "utf-8", **about: object) -> tuple[Console, io.BytesIO]:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    return Console(file=out, width=80, highlight=False, **about), raw  # type: ignore[arg-type]


def text(raw: io.BytesIO) -> str:
    return "\n".join(line.rstrip() for line in raw.getvalue().decode().splitlines()) + "\n"


def check(name: str, found: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text()


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def test_a_busy_day() -> None:
    terminal, raw = console()
    show(busy_day(), terminal, "Consul calls of shop, process 4242")
    check("busy_day.txt", text(raw))


def test_a_good_day() -> None:
    aggregate = Aggregate()
    calls(aggregate, 1000, "kv.get", 0.002, wait=0.9, decode=0.1)
    calls(aggregate, 1, "session.create", 0.003, wait=0.9)
    terminal, raw = console()
    show(aggregate, terminal)
    check("good_day.txt", text(raw))


def test_a_day_of_watching() -> None:
    aggregate = Aggregate()
    blocking(aggregate, 60, 1.02, wait=1.0)
    blocking(aggregate, 2, 3.5, late=2.4, wait=1.0, event_loop=0.7, gil=0.02)
    blocking(aggregate, 3, 4.0, late=2.9, wait=0.6, pool=0.4, operation="health.service")
    blocking(aggregate, 20, 0.3, outcome="error", wait=1.0, operation="catalog.nodes", deadline="none")
    blocking(aggregate, 9, 30.0, outcome="timeout", wait=1.0, operation="session.list")
    blocking(aggregate, 40, 1.03, wait=0.9, pool=0.1, event_loop=0.1, operation="event.list")
    stalled(aggregate, "aa", "agent.services", 20.0, deadline="per_read", blocking=True)
    terminal, raw = console()
    show(aggregate, terminal)
    check("watching.txt", text(raw))


def test_watching_without_trouble() -> None:
    aggregate = Aggregate()
    blocking(aggregate, 60, 1.02, wait=1.0)
    terminal, raw = console()
    show(aggregate, terminal)
    check("quiet_watch.txt", text(raw))


def test_every_operation_has_its_bar_and_its_line_in_words() -> None:
    aggregate = Aggregate()
    calls(aggregate, 1000, "kv.get", 0.02, wait=0.9, decode=0.1)
    calls(aggregate, 3, "agent.service.deregister", 0.003, connect=0.7, wait=0.3, gil=0.3)
    terminal, raw = console()
    show(aggregate, terminal)
    shown = text(raw)
    assert "    kv.get: 18 ms of 20 ms at P99 was waiting for Consul or the network." in shown
    assert (
        "agent.service.deregister       3    3.0 ms    3.0 ms           0 %  all ok\n"
        "  all  ████████████████████▓▓▓▓▓▓▓▓  70 % opening a connection\n"
        "  of it lost in this process: GIL 30 %\n"
    ) in shown


@pytest.mark.parametrize("phase", PHASES)
def test_the_words_beside_a_bar_fit(phase: str) -> None:
    assert len(dominant({**dict.fromkeys(PHASES, 0.0), phase: 0.996})) + len("  all  ") <= 80


def test_no_calls() -> None:
    terminal, raw = console()
    show(Aggregate(), terminal)
    check("no_calls.txt", text(raw))


def test_a_terminal_that_knows_only_ascii() -> None:
    terminal, raw = console("ascii")
    show(busy_day(), terminal)
    check("ascii.txt", text(raw))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    out = io.StringIO()
    show(busy_day(), Console(file=out, width=width))
    assert max(map(len, out.getvalue().splitlines())) <= min(width, 100)


def test_colour_adds_nothing_to_the_words() -> None:
    plain, plain_raw = console()
    coloured, coloured_raw = console(force_terminal=True, color_system="standard")
    show(busy_day(), plain)
    show(busy_day(), coloured)
    assert "\x1b[" in coloured_raw.getvalue().decode()
    without = [line.rstrip() for line in ESCAPE.sub("", coloured_raw.getvalue().decode()).splitlines()]
    assert without == plain_raw.getvalue().decode().splitlines()


def test_no_colour_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal, raw = console(force_terminal=True)
    show(busy_day(), terminal)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", raw.getvalue().decode())


def test_a_file_gets_no_escapes_and_no_blanks_at_the_end() -> None:
    out = io.StringIO()
    report(busy_day(), out=out)
    assert "\x1b" not in out.getvalue()
    assert all(line == line.rstrip() for line in out.getvalue().splitlines())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4).filter(sum))
def test_a_bar_is_as_wide_as_it_says_and_true_to_a_cell(values: list[float]) -> None:
    shares = [value / sum(values) for value in values]
    lengths = cells(shares)
    assert sum(lengths) == WIDTH
    assert all(abs(length - share * WIDTH) < 1.001 for length, share in zip(lengths, shares, strict=True))


def test_a_bar_of_many_phases_sums_up_the_small_ones() -> None:
    shares = {"wait": 0.5, "pool": 0.2, "dns": 0.1, "tls": 0.1, "send": 0.06, "other": 0.04}
    assert bar(shares).plain.endswith("wait 50 % · pool 20 % · rest 30 %")


@given(st.lists(st.floats(0.01, 1), min_size=len(PHASES), max_size=len(PHASES)))
def test_a_legend_fits_beside_its_bar(values: list[float]) -> None:
    found = bar({name: value / sum(values) for name, value in zip(PHASES, values, strict=True)})
    assert len(found) + len("  all  ") <= 80


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0.00 ms"), (0.00084, "0.84 ms"), (0.0041, "4.1 ms"), (0.00996, "10 ms"), (0.4124, "412 ms"),
        (0.9996, "1.00 s"), (2.1, "2.10 s"), (9.996, "10.0 s"), (28.44, "28.4 s"), (312.0, "312 s"),
        (900.0, "15 min"), (7200.0, "2.0 h"),
    ],
)  # fmt: skip
def test_seconds(value: float, words: str) -> None:
    assert seconds(value) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "0 %"), (0.001, "<1 %"), (0.92, "92 %"), (0.999, ">99 %"), (1.0, "100 %")],
)
def test_percent(share: float, words: str) -> None:
    assert percent(share) == words
