"""Variables that are misspelt, unknown or of no sense."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from importlib import import_module
from typing import Final

from otel_consul.doctor.finding import Finding, blocked, warning
from otel_consul.settings import PREFIX, Settings

_HOOKS: Final = ("request_hook", "response_hook")
_LIKE: Final = 0.6
"""How near a name of ours must be to be suggested."""
_VERY_LIKE: Final = 0.9
"""How near a name of OpenTelemetry's must be: there are many that the doctor does not know."""
_MODULES: Final = (
    "opentelemetry.environment_variables",
    "opentelemetry.sdk.environment_variables",
    "opentelemetry.instrumentation.environment_variables",
)


def names() -> list[str]:
    """Every variable the plugin reads."""
    return [PREFIX + field.name.upper() for field in fields(Settings) if field.name not in _HOOKS]


def findings(environ: Mapping[str, str]) -> list[Finding]:
    """What is wrong with the variables set."""
    return [*_unknown(environ), *_misspelt(environ), *_bad(environ), *_excluded(environ)]


def _unknown(environ: Mapping[str, str]) -> Iterator[Finding]:
    known = names()
    for name in sorted(environ):
        if name in known or not (name.startswith(PREFIX) or (name.startswith("OTEL_") and "CONSUL" in name)):
            continue
        if name in [PREFIX + hook.upper() for hook in _HOOKS]:
            yield warning(
                "option.hook", f"{name} does nothing: a hook can only be given in the program.", variable=name
            )
            continue
        ours = name.removeprefix("OTEL_").removeprefix("PYTHON_").removeprefix("CONSUL_")
        near = [PREFIX + one for one in get_close_matches(ours, [one.removeprefix(PREFIX) for one in known], 1, _LIKE)]
        what = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
        yield warning("option.unknown", f"{name} is no option, and does nothing. {what}", variable=name, near=near)


def _misspelt(environ: Mapping[str, str]) -> Iterator[Finding]:
    known = _opentelemetry()
    for name in sorted(environ):
        if not name.startswith("OTEL_") or name in known or "CONSUL" in name:
            continue
        near = get_close_matches(name, known, 1, _VERY_LIKE)
        if near and near[0] not in environ:
            yield warning(
                "option.misspelt",
                f"{name} is no variable of OpenTelemetry's that is known here. Did you mean {near[0]}?",
                variable=name,
                near=near,
            )


def _opentelemetry() -> set[str]:
    found: set[str] = set()
    for module in _MODULES:
        try:
            found |= {name for name in dir(import_module(module)) if name.startswith("OTEL_")}
        except ImportError:
            continue
    return found


def _bad(environ: Mapping[str, str]) -> Iterator[Finding]:
    lines: list[str] = []
    handler = _Lines(lines)
    logger = logging.getLogger("otel_consul")
    logger.addHandler(handler)
    try:
        Settings.build({}, environ)
    finally:
        logger.removeHandler(handler)
    for line in lines:
        yield warning("option.bad_value", f"{line}.", variable=line.partition("=")[0])


def _excluded(environ: Mapping[str, str]) -> Iterator[Finding]:
    variable = PREFIX + "EXCLUDED_OPERATIONS"
    settings = Settings.build({}, {variable: environ.get(variable, "")})
    if settings.excludes("kv.get") and settings.excludes("status.leader") and settings.excludes("health.service"):
        yield blocked(
            "option.excludes_all", f"{variable} excludes every operation. Name only those you can do without."
        )


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())
