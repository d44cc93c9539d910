"""Each section of the cost benchmark runs and gives rows that make sense; no time is judged here."""

from __future__ import annotations

import math
import sys

import pytest

try:
    import consul.aio  # noqa: F401 -- an old client on a new Python fails in many ways
except Exception as why:
    pytest.skip(f"the benchmark measures py-consul's asyncio client too: {why}", allow_module_level=True)
pytest.importorskip("opentelemetry.instrumentation.requests")
pytest.importorskip("opentelemetry.instrumentation.aiohttp_client")

from benchmarks.cost import __main__ as program
from benchmarks.cost import datadog, growth_async, scenarios, startup, states
from benchmarks.cost.table import Row, markdown, text
from benchmarks.cost.telemetry import Providers, facts
from benchmarks.cost.timing import Effort, Figures, Series, spread

SMALL = Effort(rounds=2, batch=20, quick=True)
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth_async, "MANY", 100)
    monkeypatch.setenv("BENCH_DDTRACE_PYTHON", "/nowhere/python")


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_section_gives_rows_of_its_own_that_print(number: int) -> None:
    rows = program.sections()[number](SMALL)
    assert rows
    for row in rows:
        assert row.section in {number, 2}  # "installed, not applied" is measured with the starts
        assert row.what
        if row.value is None:
            assert row.detail, row.what
        else:
            assert row.value.low <= row.value.median <= row.value.high or math.isnan(row.value.median)
    assert len({row.what for row in rows}) == len(rows)
    printed, written = text(rows), markdown(rows, "test")
    for row in rows:
        assert row.what in printed
        assert row.what in written


def test_after_uninstrument_nothing_is_left() -> None:
    before = states.footprint()
    providers = Providers()
    with providers.plugin():
        during = states.footprint()
        assert any(during[name] is not before[name] for name in during)
    providers.shutdown()
    after = states.footprint()
    assert [name for name in {**before, **after} if after[name] is not before[name]] == []


def test_no_client_library_is_imported() -> None:
    code = f"{startup.OURS}\n{startup.INSTRUMENT}"
    _, found = startup.paired({"both": ("", code)}, times=1)
    assert found["both"] == set()


def test_the_floor_has_the_attributes_of_a_real_span() -> None:
    from benchmarks.cost import memory

    known = facts(scenarios.calls(memory.client()), times=5)
    assert known.name == "kv.get"
    assert known.start["consul.operation"] == "kv.get"
    assert known.end["consul.outcome"] == known.point["consul.outcome"] == "ok"
    assert not known.start.keys() & known.end.keys()


def test_every_state_of_the_profile_exists() -> None:
    providers = Providers()
    assert tuple(states.states(providers, providers)) == program.STATES
    providers.shutdown()
    with states.state("everything") as run:
        run(2)


def test_ddtrace_that_cannot_be_run_is_a_row_that_says_so() -> None:
    (row,) = datadog.rows(SMALL)
    assert row.value is None
    assert "/nowhere/python" in row.detail


def test_ratios_compare_what_one_round_measured() -> None:
    figures = Figures({"bare": Series([10, 20]), "a": Series([14, 26]), "b": Series([12, 23])})
    assert figures.ratio("a", "b", "bare").median == 2.0
    assert figures.extra("a", "bare").median == 5.0
    assert spread([1.0]) == (1.0, 1.0, 1.0)


def test_a_target_is_met_by_the_median() -> None:
    assert Row(1, "x", spread([1.0, 1.1, 9.0]), target=1.15).met is True
    assert Row(1, "x", spread([1.2]), target=1.15).met is False
    assert Row(1, "x", None, target=1.15).met is None
    assert sys.modules["benchmarks.cost.table"].summary([]) == "0 of 0 targets met"
