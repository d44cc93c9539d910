"""Which panels stand where: three dashboards, twenty panels."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from examples.grafana import colours, panels, promql, signals, signals_calls, signals_releases

TAG = "consul-client"
TIME, CALLS, RELEASES = "consul-client-time", "consul-client-calls", "consul-client-releases"
"""The dashboards' uids: fixed, because links and bookmarks use them."""

Place = tuple[panels.AnyPanel, int, int, int, int]
"""A panel, and its x, y, width and height on Grafana's grid of 24 columns."""


def all_dashboards() -> list[dashboard.Dashboard]:
    """The three."""
    return [where_the_time_goes(), hung_calls_and_failures(), releases_side_by_side()]


def where_the_time_goes() -> dashboard.Dashboard:
    """Which operation, which phase, whose fault."""
    chosen = "var-operation=${__value.raw}"
    drill_down = {
        "Only this operation": _link(TIME, chosen),
        "Its hung calls and failures": _link(CALLS, chosen),
        "Its slow traces": _link(RELEASES, chosen),
    }
    return _dashboard(
        TIME,
        "Consul client: where the time goes",
        "Is it Consul, the network, or us? Which operation, which phase, since when.",
        [
            (panels.stats(signals.CULPRIT, colours.CULPRITS), 0, 0, 12, 5),
            (panels.stats(signals.HEALTH, {}, link=_link(CALLS)), 12, 0, 12, 5),
            (panels.lines(signals.TIME_BY_PHASE, stacked=colours.PHASES), 0, 5, 12, 11),
            (panels.bars(signals.MEAN_CALL), 12, 5, 12, 11),
            (panels.rows(signals.TOP_OPERATIONS, promql.OPERATION, "Operation", "Time spent per second", drill_down),
             0, 16, 24, 7),
            (panels.lines(signals.LOCAL_DELAY, stacked=colours.CAUSES), 0, 23, 12, 9),
            (panels.heat(signals.HEATMAP), 12, 23, 12, 9),
        ],
    )  # fmt: skip


def hung_calls_and_failures() -> dashboard.Dashboard:
    """What does not end, and what ends badly."""
    return _dashboard(
        CALLS,
        "Consul client: hung calls and failures",
        "Calls that do not end, calls that end badly, calls nothing would stop; blocking queries and stale reads apart.",
        [
            (panels.lines(signals_calls.OPEN_CALLS, alarm=colours.STALLED), 0, 0, 12, 9),
            (panels.lines(signals_calls.OLDEST, threshold=signals.HUNG_SECONDS), 12, 0, 12, 9),
            (panels.lines(signals_calls.FAILED_CALLS, shades=colours.OUTCOMES), 0, 9, 12, 10),
            (panels.lines(signals_calls.NO_DEADLINE), 12, 9, 12, 10),
            (panels.lines(signals_calls.RETRIES), 0, 19, 8, 9),
            (panels.lines(signals_calls.BLOCKING, alarm=colours.STALLED), 8, 19, 8, 9),
            (panels.lines(signals_calls.STALE_READS), 16, 19, 8, 9),
            (panels.lines(signals_calls.NETWORK), 0, 28, 24, 8),
        ],
    )


def releases_side_by_side() -> dashboard.Dashboard:
    """Before and after, by `service.version`."""
    return _dashboard(
        RELEASES,
        "Consul client: releases side by side",
        "What a release changed: latency, open calls, failures, missing deadlines; the process beside them; slow traces.",
        [
            (panels.rows(signals_releases.RELEASES, promql.RELEASE, "Release", "P99"), 0, 0, 24, 5),
            (panels.lines(signals_releases.P99_BY_RELEASE), 0, 5, 12, 9),
            (panels.lines(signals_releases.CPU), 12, 5, 12, 9),
            (panels.lines(signals_releases.MEMORY), 0, 14, 12, 9),
            (panels.lines(signals_releases.THREADS), 12, 14, 12, 9),
            (panels.traces(signals_releases.SLOW_TRACES), 0, 23, 24, 7),
        ],
        tempo=True,
    )


def _dashboard(
    uid: str, title: str, description: str, places: Sequence[Place], *, tempo: bool = False
) -> dashboard.Dashboard:
    board = dashboard.Dashboard(title).uid(uid).description(description).tags([TAG]).editable().timezone("browser")
    board.refresh("30s").time("now-1h", "now").tooltip(model.DashboardCursorSync.CROSSHAIR).version(1)
    board.with_variable(_source_variable(panels.PROMETHEUS, "prometheus", "Metrics"))
    if tempo:
        board.with_variable(_source_variable(panels.TEMPO, "tempo", "Traces"))
    within = ""
    for name, label, text in (
        ("job", "job", "Prometheus job. Only *All* where the pipeline makes none."),
        ("service", "service_name", "`service.name`. Only *All* where it is not a label of the series."),
        ("operation", promql.OPERATION, "Consul operation: `kv.get`, `health.service`, …"),
    ):
        board.with_variable(_variable(name, label, text, within))
        within += f'{"," if within else ""}{label}=~"${name}"'
    board.link(
        dashboard.DashboardLink("Consul client")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
        .icon("external link")
    )
    for number, (panel, x, y, width, height) in enumerate(places, start=1):
        board.with_panel(panel.id(number).grid_pos(model.GridPos(x=x, y=y, w=width, h=height)))
    return board


def _source_variable(name: str, kind: str, label: str) -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable(name).type(kind).label(label).description(f"The {kind} data source to ask.")


def _variable(name: str, label: str, text: str, within: str) -> dashboard.QueryVariable:
    ask = f"label_values({promql.OPERATIONS}{{{within}}}, {label})"
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .description(text)
        .query({"qryType": 1, "query": ask, "refId": f"{name}-variable"})
        .definition(ask)
        .datasource(panels.source("prometheus", panels.PROMETHEUS))
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _link(uid: str, chosen: str = "${operation:queryparam}") -> str:
    sources = f"var-{panels.PROMETHEUS}=${{{panels.PROMETHEUS}}}"
    return f"/d/{uid}?{sources}&${{job:queryparam}}&${{service:queryparam}}&{chosen}&${{__url_time_range}}"
