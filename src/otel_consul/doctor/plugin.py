"""Whether the plugin would be switched on, and what stands in the way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from otel_consul.doctor.finding import Finding, blocked, ok, warning
from otel_consul.doctor.launch import Launched
from otel_consul.doctor.sdk import entry_points, has_sdk
from otel_consul.doctor.source import Source
from otel_consul.doctor.target import LAUNCHER, Target
from otel_consul.version import __version__

_GROUP: Final = "opentelemetry_instrumentor"
_NAME: Final = "consul"
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_INSTALL: Final = "pip install 'otel-consul[otlp]'"


def findings(target: Target, source: Source) -> list[Finding]:
    """What the environment says; `launched_findings` says what happened."""
    if not target.launched:
        return [_by_program(target, source)]
    found = [*_launcher(target), *_entry_point(target), *_distro(target)]
    return found or [ok("plugin.found", f"{LAUNCHER} finds otel-consul {__version__}.", version=__version__)]


def _by_program(target: Target, source: Source) -> Finding:
    if source.instruments:
        return warning(
            "program.instruments",
            f"{target.program} is not started by {LAUNCHER}, and names otel_consul: it has to switch the plugin on and make "
            "providers by itself. Whether it does is known only when it runs.",
        )
    what = (
        "otel_consul is named neither in it nor beside it" if source.found else "what it does by itself cannot be read"
    )
    return blocked(
        "program.not_launched",
        f"{target.program or 'The program'} is not started by {LAUNCHER}, and {what}: nothing is known to switch the plugin "
        f"on. Put {LAUNCHER} before the command.",
    )


def _launcher(target: Target) -> Iterator[Finding]:
    beside = Path(target.interpreter).with_name(LAUNCHER)
    if target.launcher == "command" and not target.launcher_found:
        where = f"It is at {beside}." if beside.exists() else f"Install it: {_INSTALL}."
        yield blocked("launcher.missing", f"There is no {LAUNCHER} on PATH. {where}")
    elif target.launcher == "assumed" and not beside.exists() and shutil.which(LAUNCHER) is None:
        yield warning("launcher.not_on_path", f"There is no {LAUNCHER} on PATH nor beside {target.interpreter}.")
    ignored = [
        flag for flag in target.flags if flag[:2] != "--" and flag.startswith("-") and set(flag[1:]) & set("EIS")
    ]
    ignored = [flag for flag in ignored if not flag.startswith(("-X", "-W"))]
    if ignored:
        yield blocked(
            "launcher.ignored",
            f"Python is started with {ignored[0]}, and so ignores what {LAUNCHER} puts in its way. Leave that option out.",
        )


def _entry_point(target: Target) -> Iterator[Finding]:
    points = [point for point in entry_points(_GROUP) if point.value.startswith("otel_consul:")]
    if not points:
        yield blocked(
            "plugin.not_installed",
            f"otel_consul can be imported, but is not installed for {target.interpreter}: {LAUNCHER} does not find it. "
            f"{_INSTALL.capitalize()}.",
        )
        return
    disabled = [word.strip() for word in target.environ.get(_DISABLED, "").split(",")]
    word = next((word for word in ("*", *(point.name for point in points)) if word in disabled), None)
    if word is not None:
        what = "switches every instrumentation off" if word == "*" else "switches this one off"
        yield blocked("plugin.disabled", f"{_DISABLED} has {word!r}, and so {what}. Take it out.", variable=_DISABLED)


def _distro(target: Target) -> Iterator[Finding]:
    if not has_sdk():
        return  # said elsewhere
    environ = target.environ
    for kind, package in (("distro", "opentelemetry-distro"), ("configurator", "opentelemetry-distro")):
        variable = f"OTEL_PYTHON_{kind.upper()}"
        names = sorted({point.name for point in entry_points(f"opentelemetry_{kind}")})
        asked = environ.get(variable)
        if asked and asked not in names:
            have = f"Installed: {', '.join(names)}" if names else f"None is installed: pip install {package}"
            yield blocked(
                f"{kind}.unknown", f"{variable} is {asked!r}, which is not installed: no SDK is set up. {have}."
            )
        elif not names and kind == "configurator":
            yield blocked(
                "distro.missing",
                f"opentelemetry-distro is not installed: {LAUNCHER} switches the plugin on, but sets up no SDK, and nothing "
                f"leaves the process. {_INSTALL.capitalize()}.",
            )


def launched_findings(launched: Launched, *, explained: bool) -> list[Finding]:
    """What really happened when the launcher did its work. `explained`: findings above say why it cannot."""
    if launched.instrumented and launched.has_sdk:
        return [
            ok(
                "launcher.works",
                f"{LAUNCHER} was tried in a process of its own: the plugin is on, with {launched.exporters_text}.",
                exporters=list(launched.exporters),
            )
        ]
    return [] if explained else [_not_launched(launched)]


def _not_launched(launched: Launched) -> Finding:
    why = f" ({launched.error})" if launched.error else ""
    if launched.late:
        text = f"{LAUNCHER} was tried, and had not finished within {launched.seconds:.0f} s."
        return warning("launcher.slow", text)
    if not launched.answered:
        return blocked("launcher.failed", f"{LAUNCHER} was tried, and Python did not start under it{why}.")
    if launched.failed_other:
        return blocked(
            "launcher.other_failed",
            f"The instrumentation {launched.failed_other!r} failed, and {LAUNCHER} gave up on those after it, this "
            f"one included. Name it in {_DISABLED}.",
        )
    what = "the plugin on" if not launched.instrumented else "an SDK on"
    return blocked("launcher.failed", f"{LAUNCHER} was tried, and did not switch {what}{why}.")
