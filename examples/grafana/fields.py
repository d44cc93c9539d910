"""Options of single fields: units, colours, limits. What Grafana's editor calls overrides."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model


def option(name: str, value: object) -> model.DynamicConfigValue:
    """One property of an override."""
    return model.DynamicConfigValue(id_val=name, value=value)


def fixed(colour: str) -> model.DynamicConfigValue:
    """Always this colour."""
    return option("color", {"mode": "fixed", "fixedColor": colour})


def shades(colour: str) -> model.DynamicConfigValue:
    """Some shade of this colour, each field its own."""
    return option("color", {"mode": "shades", "fixedColor": colour})


def dashed() -> model.DynamicConfigValue:
    """How lines of the right axis are drawn."""
    return option("custom.lineStyle", {"fill": "dash", "dash": [6, 4]})


def limits(fine: str, yellow: float, red: float) -> model.DynamicConfigValue:
    """`fine` below the first limit, then yellow, then red."""
    steps = [{"color": fine, "value": None}, {"color": "yellow", "value": yellow}, {"color": "red", "value": red}]
    return option("thresholds", {"mode": "absolute", "steps": steps})


def alarm() -> list[model.DynamicConfigValue]:
    """A count that should be zero: not to be seen at zero, else a thick red line."""
    steps = [{"color": "transparent", "value": None}, {"color": "red", "value": 0.5}]
    return [
        option("color", {"mode": "thresholds", "seriesBy": "last"}),
        option("thresholds", {"mode": "absolute", "steps": steps}),
        option("custom.gradientMode", "scheme"),
        option("custom.lineWidth", 3),
        option("custom.fillOpacity", 0),
    ]


def threshold(limit: float) -> dashboard.ThresholdsConfig:
    """One limit, of a whole panel."""
    steps = [model.Threshold(color="transparent"), model.Threshold(value=limit, color="red")]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
