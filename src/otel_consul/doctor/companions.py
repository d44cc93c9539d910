"""What else is in the process: other instrumentations, ddtrace, green threads, forked workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

from otel_consul.doctor.finding import Finding, warning
from otel_consul.doctor.launch import Launched
from otel_consul.doctor.libraries import version
from otel_consul.doctor.sdk import entry_points
from otel_consul.doctor.source import Source
from otel_consul.doctor.target import LAUNCHER, SERVERS, Target
from otel_consul.settings import PREFIX, Settings

_HTTP: Final = ("requests", "urllib3", "httpx", "aiohttp-client", "aiohttp_client", "tornado")
"""Instrumentations of HTTP libraries that Consul clients use."""
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_GEVENT: Final = "OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH"
_INSTANCE: Final = "service.instance.id"
_WORKERS: Final = frozenset({"-w", "--workers", "-p", "--processes", "--concurrency", "-c"})
_ONE: Final = frozenset({"1", "solo", "threads"})
_GREEN_OPTIONS: Final = ("-k", "--worker-class", "-P", "--pool")


def findings(target: Target, source: Source, launched: Launched) -> list[Finding]:
    """All of them."""
    return [
        *_doubled(target),
        *_ddtrace(target, source, launched),
        *_green(target, source, launched),
        *_workers(target, source, launched),
    ]


def _doubled(target: Target) -> Iterator[Finding]:
    if not target.launched or Settings.build({}, target.environ).suppress_http:
        return
    disabled = {word.strip() for word in target.environ.get(_DISABLED, "").split(",")}
    active = sorted(
        {
            point.name
            for point in entry_points("opentelemetry_instrumentor")
            if point.name in _HTTP and not disabled & {point.name, "*"}
        }
    )
    if active:
        yield warning(
            "http.doubled",
            f"Each call may have a second span below its own, of an HTTP instrumentation ({', '.join(active)}). If one is "
            f"enough, set {PREFIX}SUPPRESS_HTTP=true.",
            instrumentations=active,
        )


def _ddtrace(target: Target, source: Source, launched: Launched) -> Iterator[Finding]:
    here = "ddtrace" in sys.modules and not target.program
    if not (target.ddtrace or source.ddtrace or launched.ddtrace or here):
        return
    where = "the command" if target.ddtrace else f"{target.program} imports it" if source.ddtrace else "it is loaded"
    which = f" {found}" if (found := version("ddtrace")) else ""
    yield warning(
        "ddtrace.present",
        f"ddtrace{which} is in the same process ({where}): it traces Consul calls too, into traces of its own that do not "
        "join these.",
    )


def _green_library(target: Target, source: Source) -> str:
    if source.patch:
        return source.patch
    words = target.arguments
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in _GREEN_OPTIONS:
            chosen = value if equals else words[at + 1] if at + 1 < len(words) else ""
            if chosen in ("gevent", "eventlet"):
                return chosen
        if option in ("--gevent", "--eventlet"):
            return option[2:]
    return ""


def _green(target: Target, source: Source, launched: Launched) -> Iterator[Finding]:
    library = _green_library(target, source)
    if not library or launched.green == library:
        return
    where = f"{target.program}, line {source.patch_line}," if source.patch else target.program
    if target.launched:
        advice = f"Set {_GEVENT}=patch_all." if library == "gevent" else "Patch before, in a sitecustomize module."
        yield warning(
            "green.late",
            f"{where} patches with {library} after {LAUNCHER} has started the SDK's threads and imported what they use. The "
            f"plugin copes with that; exporters may not. {advice}",
        )
    elif source.early:
        yield warning(
            "green.late",
            f"{where} patches with {library} after importing {source.early}, whose sockets and locks may stay as they were. "
            "Patch first.",
        )


def _several_workers(target: Target, source: Source) -> bool:
    if source.forks:
        return True
    if target.program not in SERVERS:
        return False
    words: Sequence[str] = target.arguments
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in _WORKERS | {"-P", "--pool"}:
            chosen = value if equals else words[at + 1] if at + 1 < len(words) else ""
            if chosen in _ONE or (option in ("-P", "--pool") and chosen in ("gevent", "eventlet")):
                return False
            if option in _WORKERS and chosen.isdigit():
                return True
    return target.program == "celery" or target.environ.get("WEB_CONCURRENCY", "1") not in ("", "0", "1")


def _workers(target: Target, source: Source, launched: Launched) -> Iterator[Finding]:
    several = _several_workers(target, source)
    resource = target.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if any(pair.partition("=")[0].strip() == _INSTANCE for pair in resource.split(",")):
        yield warning(
            "workers.share_instance",
            f"OTEL_RESOURCE_ATTRIBUTES sets {_INSTANCE}: every process started with it writes the same series of metrics, which "
            "corrupts them. Leave it out, or give each process its own.",
        )
    elif several and target.program == "uwsgi" and target.launched and "--lazy-apps" not in target.arguments:
        yield warning(
            "workers.share_instance",
            f"uwsgi forks without telling Python: workers keep their parent's {_INSTANCE}, and write the same series of metrics. "
            "Use --py-call-osafterfork, or make providers in @postfork.",
        )
    elif several and launched.shares_instance:
        yield warning(
            "workers.share_instance",
            f"Forked workers have one {_INSTANCE}, or none, as a fork tried here showed: they write the same series of "
            "metrics, which corrupts them. Use opentelemetry-sdk 1.40 or newer, or make providers after the fork.",
        )
