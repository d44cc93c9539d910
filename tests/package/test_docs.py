"""The documents say what the code does: every exported name is in docs/telemetry.md, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

from otel_consul import semconv
from otel_consul.metrics import definitions
from otel_consul.settings import Settings

ROOT = Path(__file__).parents[2]
TELEMETRY = (ROOT / "docs" / "telemetry.md").read_text()


def names() -> set[str]:
    """Every name under `consul.` that semconv declares."""
    found = {value for value in vars(semconv).values() if isinstance(value, str) and value.startswith("consul.")}
    found |= {
        *semconv.PHASE_ATTRIBUTES,
        *semconv.LOCAL_DELAY_ATTRIBUTES,
        *(metric.name for metric in definitions.METRICS),
    }
    return found - {semconv.PHASE_PREFIX, semconv.LOCAL_DELAY_PREFIX}


def documented() -> set[str]:
    """Every name under `consul.` in the document; `` `a.b.c` `.d` `` means `a.b.d` as well."""
    found = set()
    for cell in re.findall(r"`(consul\.[\w.]+)`((?: `\.\w+`)*)", TELEMETRY):
        found.add(cell[0])
        found |= {cell[0].rpartition(".")[0] + more for more in re.findall(r"`(\.\w+)`", cell[1])}
    return found


def test_every_name_is_documented_and_every_documented_name_exists() -> None:
    assert documented() == names()


def test_every_metric_is_documented_with_its_instrument_unit_and_attributes() -> None:
    rows = {cells[1].strip("` "): cells for line in TELEMETRY.splitlines() if (cells := line.split("|"))[1:]}
    for metric in definitions.METRICS:
        _, _, kind, attributes, *_ = rows[metric.name]
        assert kind.strip() == f"{metric.instrument.title().replace('_', '')}, `{metric.unit}`"
        named = {name for name in re.findall(r"`([\w.]+)`", attributes) if "." in name}
        assert named == set(metric.attributes), metric.name


def test_every_option_is_documented() -> None:
    options = TELEMETRY.partition("## Options")[2]
    for name in Settings.__dataclass_fields__:
        assert f"`{name}" in options, name
