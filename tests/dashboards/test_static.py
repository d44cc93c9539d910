"""What can be said about the dashboards without a server."""

from __future__ import annotations

import itertools
import json
import os
import re

import pytest

from otel_consul.metrics import definitions
from tests.dashboards.grafana import ALL, Choice, Dashboard, Expander, Window, load, targets

UNITS = {"s", "bytes", "percentunit", "short", "none", "cps", "ops"}
"""Every unit used, each in Grafana's list."""
BOARDS = load()
PANELS = [pytest.param(panel, id=panel["title"]) for board in BOARDS for panel in board["panels"]]
TARGETS = [pytest.param(target, id=str(target)) for target in targets(BOARDS)]
PER_BOARD = pytest.mark.parametrize("board", [pytest.param(board, id=board["uid"]) for board in BOARDS])


def sdk() -> None:
    """The generator is a development dependency, and needs Python 3.11."""
    if os.environ.get("OTEL_CONSUL_REQUIRE_BACKENDS") != "1":
        pytest.importorskip("grafana_foundation_sdk", reason="the dashboards' generator is not installed")


def test_the_committed_json_is_what_the_code_says() -> None:
    sdk()
    from examples.grafana import build

    assert build.outdated() == [], "run `python -m examples.grafana.build`"


def test_three_dashboards_of_few_panels() -> None:
    assert [board["uid"] for board in BOARDS] == ["consul-client-calls", "consul-client-releases", "consul-client-time"]
    assert sum(len(board["panels"]) for board in BOARDS) <= 21


@PER_BOARD
def test_it_imports_by_hand_and_by_provisioning(board: Dashboard) -> None:
    assert board["schemaVersion"] == 42
    assert board["description"]
    assert "__inputs" not in board
    assert board.get("id") is None
    assert len(board["uid"]) <= 40
    sources = {variable["name"] for variable in board["templating"]["list"] if variable["type"] == "datasource"}
    used = set(re.findall(r'"uid": "\$\{(\w+)\}"', str(board).replace("'", '"')))
    assert used == sources


@PER_BOARD
def test_variables_take_many_values_and_all(board: Dashboard) -> None:
    queries = {each["name"]: each for each in board["templating"]["list"] if each["type"] == "query"}
    assert list(queries) == ["job", "service", "operation"]
    for variable in queries.values():
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")
        assert variable["current"]["value"] == ALL
        assert variable["description"]


@PER_BOARD
def test_panels_have_ids_and_do_not_overlap(board: Dashboard) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    for first, second in itertools.combinations([panel["gridPos"] for panel in board["panels"]], 2):
        apart = (
            first["x"] + first["w"] <= second["x"]
            or second["x"] + second["w"] <= first["x"]
            or first["y"] + first["h"] <= second["y"]
            or second["y"] + second["h"] <= first["y"]
        )
        assert apart, (first, second)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])


@PER_BOARD
def test_links_lead_to_dashboards_and_variables_that_are_there(board: Dashboard) -> None:
    variables = {one["uid"]: {variable["name"] for variable in one["templating"]["list"]} for one in BOARDS}
    for uid, query in re.findall(r'"/d/([\w-]+)\?([^"]*)"', json.dumps(board)):
        assert set(re.findall(r"var-(\w+)=|\$\{(\w+):queryparam\}", query)) <= {
            pair for name in variables[uid] for pair in ((name, ""), ("", name))
        }


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_explains_itself(panel: Dashboard) -> None:
    assert "**When it is high:**" in panel["description"]
    assert "**Look next:**" in panel["description"]
    config = panel["fieldConfig"]
    overridden = [item["value"] for one in config["overrides"] for item in one["properties"] if item["id"] == "unit"]
    assert {config["defaults"]["unit"], *overridden} <= UNITS


@pytest.mark.parametrize("target", TARGETS)
def test_a_rate_is_taken_of_what_counts_up(target: object) -> None:
    expr = getattr(target, "expr", "")
    for metric in re.findall(r"\b(?:rate|increase)\((\w+)", expr):
        assert metric.endswith(("_total", "_sum", "_count", "_bucket"))
    assert not re.search(r"\[\d", expr), "a window in figures: it would not follow the zoom"


def test_blocking_queries_are_in_no_latency_query() -> None:
    for target in targets(BOARDS):
        if "duration_seconds_bucket" in target.expr or "duration_seconds_sum" in target.expr:
            assert 'consul_blocking="false"' in target.expr, target


def test_every_metric_is_shown_or_left_out_on_purpose() -> None:
    sdk()
    from examples.grafana import promql, signals

    shown = " ".join(target.expr for target in targets(BOARDS))
    for metric in definitions.METRICS:
        seen = re.search(rf"\b{promql.of(metric)}(_bucket|_count|_sum)?\{{", shown) is not None
        assert seen != (metric.name in signals.UNUSED_ON_PURPOSE), metric.name


def test_every_metric_in_a_query_is_declared() -> None:
    assert strangers(" ".join(target.expr for target in targets(BOARDS))) == set()


def test_an_undeclared_metric_is_noticed() -> None:
    assert strangers("rate(consul_client_phase_seconds_total{}[1m])") == {"consul_client_phase_seconds_total"}


def strangers(text: str) -> set[str]:
    """The names like ours that no declared metric has."""
    declared = {metric.name.replace(".", "_") for metric in definitions.METRICS}
    suffix = r"(_seconds)?(_total|_bucket|_count|_sum)?$"
    return {name for name in re.findall(r"\bconsul_client_\w+", text) if re.sub(suffix, "", name) not in declared}


def test_values_are_escaped_twice_as_grafana_does() -> None:
    choice = {"operation": Choice(("kv.get",)), "job": Choice(("a", "b+c"))}
    expand = Expander(Window(0, 3600), choice).expand
    assert expand('x{o=~"$operation"}') == 'x{o=~"kv\\\\.get"}'
    assert expand('x{j=~"${job}"}') == 'x{j=~"(a|b\\\\+c)"}'
    with pytest.raises(LookupError, match="nobody"):
        expand("$nobody")
