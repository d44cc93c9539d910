"""How a signal is drawn: one function for each kind of panel. No query, no text about metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    tempo,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models import prometheus as prometheus_model
from grafana_foundation_sdk.models import tempo as tempo_model

from examples.grafana import colours, fields, promql
from examples.grafana.signals import Query, Signal

PROMETHEUS = "prometheus_datasource"
TEMPO = "tempo_datasource"

P = TypeVar("P", timeseries.Panel, stat.Panel, table.Panel, barchart.Panel, heatmap.Panel)
AnyPanel = timeseries.Panel | stat.Panel | table.Panel | barchart.Panel | heatmap.Panel


def lines(
    signal: Signal,
    *,
    stacked: Mapping[str, str] | None = None,
    shades: Mapping[str, str] | None = None,
    alarm: str = "",
    threshold: float | None = None,
) -> timeseries.Panel:
    """Lines over time. A query with its own unit is on the right.

    With `stacked`, areas that add up, in these colours. `shades`: a colour for all legends that match. `alarm`: those
    that match are thick and red, and at zero not to be seen.
    """
    panel = timeseries.Panel().draw_style(common_model.GraphDrawStyle.LINE).line_width(1 if stacked else 2)
    panel.fill_opacity(70 if stacked else 8).show_points(common_model.VisibilityMode.NEVER).min(0)
    panel.line_interpolation(common_model.LineInterpolation.LINEAR).span_nulls(False)
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A"))
        for name, colour in stacked.items():
            panel.override_by_name(name, [fields.fixed(colour)])
    for pattern, colour in (shades or {}).items():
        panel.override_by_regexp(pattern, [fields.shades(colour)])
    if alarm:
        panel.override_by_regexp(alarm, fields.alarm())
    if threshold is not None:
        panel.thresholds(fields.threshold(threshold))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_model.GraphThresholdsStyleMode.DASHED))
    calcs = ["mean", "max", "lastNotNull"]
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_model.LegendDisplayMode.TABLE)
        .placement(common_model.LegendPlacement.BOTTOM)
        .calcs(calcs)
        .sort_by("Mean")
        .sort_desc(True)
    )
    panel.tooltip(
        common.VizTooltipOptions()
        .mode(common_model.TooltipDisplayMode.MULTI)
        .sort(common_model.SortOrder.DESCENDING)
        .hide_zeros(True)
    )
    for ref, query in _refs(signal):
        panel.with_target(_target(query, ref))
        if query.unit:
            panel.override_by_query(
                ref,
                [fields.option("unit", query.unit), fields.option("custom.axisPlacement", "right"), fields.dashed()],
            )
    return _dress(panel, signal)


def stats(signal: Signal, colour_of: Mapping[str, str], *, link: str = "") -> stat.Panel:
    """Big numbers with a sparkline, in a fixed colour or in that of their limits."""
    panel = stat.Panel().orientation(common_model.VizOrientation.VERTICAL)
    panel.graph_mode(common_model.BigValueGraphMode.AREA).color_mode(common_model.BigValueColorMode.VALUE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel.text_mode(common_model.BigValueTextMode.VALUE_AND_NAME).no_value("no calls").min(0)
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    for ref, query in _refs(signal):
        panel.with_target(_target(query, ref))
        properties = [fields.option("unit", query.unit)] if query.unit else []
        if query.name in colour_of:
            properties += [fields.fixed(colour_of[query.name]), fields.option("decimals", 0)]
        if query.limits:
            properties.append(fields.limits("green", *query.limits))
        if properties:
            panel.override_by_name(query.name, properties)
    if link:
        panel.data_links([dashboard.DashboardLink("Hung calls and failures").url(link)])
    return _dress(panel, signal)


def bars(signal: Signal) -> barchart.Panel:
    """One horizontal bar for each operation, made of its phases."""
    panel = barchart.Panel().orientation(common_model.VizOrientation.HORIZONTAL).bar_width(0.7).fill_opacity(80)
    panel.stacking(common_model.StackingMode.NORMAL).show_value(common_model.VisibilityMode.NEVER).line_width(0).min(0)
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_model.LegendDisplayMode.LIST)
        .placement(common_model.LegendPlacement.BOTTOM)
    )
    for name, colour in colours.PHASES.items():
        panel.override_by_name(name, [fields.fixed(colour)])
    for ref, query in _refs(signal):
        panel.with_target(_target(query, ref, instant=True))
    matrix = {
        "rowField": promql.OPERATION,
        "columnField": promql.PHASE,
        "valueField": "Value",
        "emptyValue": "zero",
    }
    panel.with_transformation(model.DataTransformerConfig(id_val="groupingToMatrix", options=matrix))
    return _dress(panel, signal)


def heat(signal: Signal) -> heatmap.Panel:
    """Classic buckets over time, with exemplars."""
    panel = heatmap.Panel().calculate(False).cell_gap(1).show_legend().exemplars_color("rgba(255,255,255,0.85)")
    panel.y_axis(heatmap.YAxisConfig().unit(signal.unit).axis_placement(common_model.AxisPlacement.LEFT))
    panel.color(
        heatmap.HeatmapColorOptions()
        .mode(heatmap_model.HeatmapColorMode.SCHEME)
        .scheme(colours.NEUTRAL_SCHEME)
        .scale(heatmap_model.HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .steps(64)
        .fill(colours.NEUTRAL)
    )
    panel.filter_values(heatmap.FilterValueRange().le(1e-9)).tooltip(
        heatmap.HeatmapTooltip().mode(common_model.TooltipDisplayMode.SINGLE).y_histogram(True)
    )
    for ref, query in _refs(signal):
        panel.with_target(_target(query, ref).format(prometheus_model.PromQueryFormat.HEATMAP))
    return _dress(panel, signal)


def rows(signal: Signal, key: str, key_title: str, sort_by: str, links: Mapping[str, str] | None = None) -> table.Panel:
    """One row for each value of the label `key`, one column for each query; the first column links elsewhere."""
    panel = table.Panel().show_header(True).cell_height(common_model.TableCellHeight.SM)
    panel.sort_by([common.TableSortByFieldState().display_name(sort_by).desc(True)])
    order, names = {"Time": -1, key: 0}, {key: key_title}
    for position, (ref, query) in enumerate(_refs(signal), start=1):
        panel.with_target(_target(query, ref, instant=True))
        names[f"Value #{ref}"], order[f"Value #{ref}"] = query.name, position
        properties = [fields.option("unit", query.unit)] if query.unit else []
        if query.limits:
            properties += [
                fields.limits("text", *query.limits),
                fields.option("custom.cellOptions", {"type": "color-text"}),
            ]
            properties.append(fields.option("color", {"mode": "thresholds"}))
        if properties:
            panel.override_by_name(query.name, properties)
    gauge = fields.option("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"})
    panel.override_by_name(sort_by, [gauge, fields.fixed(colours.NEUTRAL), fields.option("min", 0)])
    if links:
        built = [dashboard.DashboardLink(title).url(url).build() for title, url in links.items()]
        panel.override_by_name(
            key_title, [fields.option("links", [{"title": link.title, "url": link.url} for link in built])]
        )
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    organize = {
        "excludeByName": {"Time": True},
        "includeByName": {},
        "indexByName": {name: index for name, index in order.items() if index >= 0},
        "renameByName": names,
    }
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=organize))
    return _dress(panel, signal)


def traces(signal: Signal) -> table.Panel:
    """What Tempo finds, one span a row."""
    panel = table.Panel().show_header(True).cell_height(common_model.TableCellHeight.SM)
    for ref, query in _refs(signal):
        panel.with_target(
            tempo.Dataquery()
            .ref_id(ref)
            .query_type("traceql")
            .query(query.expr)
            .table_type(tempo_model.SearchTableType.SPANS)
            .limit(50)
            .spss(3)
            .datasource(source("tempo", TEMPO))
        )
    return _dress(panel, signal).datasource(source("tempo", TEMPO))


def source(kind: str, variable: str) -> common_model.DataSourceRef:
    """The data source that a dashboard variable names."""
    return common_model.DataSourceRef(type_val=kind, uid=f"${{{variable}}}")


def _dress(panel: P, signal: Signal) -> P:
    panel.datasource(source("prometheus", PROMETHEUS))
    return panel.title(signal.title).description(signal.description).unit(signal.unit)


def _refs(signal: Signal) -> Sequence[tuple[str, Query]]:
    return [(chr(ord("A") + index), query) for index, query in enumerate(signal.queries)]


def _target(query: Query, ref: str, *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.name).ref_id(ref)
    target.datasource(source("prometheus", PROMETHEUS)).editor_mode(prometheus_model.QueryEditorMode.CODE)
    if instant:
        return target.instant().format(prometheus_model.PromQueryFormat.TABLE)
    return target.range().exemplar(query.exemplar)
