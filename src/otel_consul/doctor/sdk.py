"""What OpenTelemetry's SDK would do in this environment: whether it is there, is on, samples, and exports where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from typing import Final

from otel_consul.doctor.finding import METRICS, SIGNALS, TRACES, Finding, blocked, ok, warning
from otel_consul.doctor.source import Source
from otel_consul.doctor.target import Target

LOGS: Final = "logs"
GRPC: Final = "otlp_proto_grpc"
HTTP: Final = "otlp_proto_http"
PROTOCOLS: Final = {"grpc": GRPC, "http/protobuf": HTTP}
PACKAGES: Final = {
    "otlp": "opentelemetry-exporter-otlp",
    GRPC: "opentelemetry-exporter-otlp-proto-grpc",
    HTTP: "opentelemetry-exporter-otlp-proto-http",
    "prometheus": "opentelemetry-exporter-prometheus",
}
_EXPORTER: Final = "OTEL_{}_EXPORTER"
_NOUNS: Final = {TRACES: "spans", METRICS: "metrics", LOGS: "logs"}


@dataclass(frozen=True)
class Exporter:
    """One exporter in force."""

    signal: str
    name: str
    """As its entry point is called."""


def entry_points(group: str) -> list[metadata.EntryPoint]:
    """Those of this interpreter."""
    return list(metadata.entry_points(group=group))


def has_sdk() -> bool:
    """Whether the SDK can be imported."""
    try:
        return find_spec("opentelemetry.sdk") is not None and find_spec("opentelemetry.sdk.trace") is not None
    except (ImportError, ValueError):
        return False


def sdk_findings(target: Target) -> list[Finding]:
    """Whether anything of the SDK works at all."""
    environ = target.environ
    if not has_sdk():
        return [
            blocked(
                "sdk.missing",
                "opentelemetry-sdk is not installed: without it calls leave nothing. "
                "Install it with its exporters: pip install 'otel-consul[otlp]'.",
            )
        ]
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return [blocked("sdk.disabled", "OTEL_SDK_DISABLED is true: no spans and no metrics are made. Unset it.")]
    if target.launched and environ.get("OTEL_CONFIG_FILE"):
        return [
            warning(
                "sdk.config_file",
                "OTEL_CONFIG_FILE is set: the SDK is configured by that file, and ignores most of the variables that "
                "are examined here.",
            )
        ]
    return []


def with_defaults(target: Target) -> dict[str, str]:
    """The environment as opentelemetry-instrument leaves it to the SDK: with what the distro adds."""
    environ = dict(target.environ)
    if target.launched and any(point.name == "distro" for point in entry_points("opentelemetry_distro")):
        for signal in (*SIGNALS, LOGS):
            environ.setdefault(_EXPORTER.format(signal.upper()), "otlp")
        environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    return environ


def exporters(target: Target, source: Source) -> tuple[list[Exporter], list[Finding]]:
    """The exporters in force, and what is wrong with them."""
    environ = with_defaults(target)
    if not target.launched:
        return _of_program(source)
    found: list[Exporter] = []
    findings: list[Finding] = []
    for signal in (*SIGNALS, LOGS):
        variable = _EXPORTER.format(signal.upper())
        value = environ.get(variable, "")
        if not value or value.strip().lower() == "none":
            findings.append(_none(signal, variable, set_=bool(value)))
            continue
        for word in value.split(","):
            name, finding = _resolve(signal, word.strip(), environ, target.environ)
            if finding is not None:
                findings.append(finding)
            else:
                found.append(Exporter(signal, name))
    unset = [one for one in findings if one.meant]
    if len(unset) == len(SIGNALS):  # nobody wants that
        findings = [replace(one, meant=False) for one in findings]
    return found, list({(one.code, one.text): one for one in findings}.values())


def _of_program(source: Source) -> tuple[list[Exporter], list[Finding]]:
    """A program that makes its own providers: what its text names."""
    names = [name for name, named in ((HTTP, source.exports_http), (GRPC, source.exports_grpc)) if named]
    return [Exporter(signal, name) for signal in SIGNALS for name in names], []


def _none(signal: str, variable: str, *, set_: bool) -> Finding:
    noun = _NOUNS[signal]
    why = f"{variable} is none" if set_ else f"{variable} is not set, and no distro sets it"
    if signal == LOGS:
        return warning("exporter.none.logs", f"{why}: calls that hang are not logged while they hang.", signal=signal)
    finding = blocked(
        f"exporter.none.{signal}",
        f"{why}: no {noun} are exported. {'Unset it, or name' if set_ else 'Name'} an exporter, for example otlp.",
        [signal],
        signal=signal,
    )
    return replace(finding, meant=set_)


def _resolve(
    signal: str, word: str, environ: Mapping[str, str], given: Mapping[str, str]
) -> tuple[str, Finding | None]:
    """The entry point that an exporter's name stands for. One that is missing makes the launcher give up on everything."""
    name, protocol, variable = word, "", ""
    if word == "otlp":
        variable = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
        if not environ.get(variable):
            variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
        protocol = environ.get(variable, "").strip() or "grpc"
        name = PROTOCOLS.get(protocol, "")
        if not name:
            return "", blocked(
                "protocol.unknown",
                f"{variable} is {protocol!r}, which no exporter for Python speaks: nothing starts at all. "
                "Use grpc or http/protobuf.",
                variable=variable,
            )
    if any(point.name == name for point in entry_points(f"opentelemetry_{signal}_exporter")):
        return name, None
    package = PACKAGES.get(name, "")
    wanted = f"the protocol {protocol}" if protocol else f"the exporter {word!r} of {_EXPORTER.format(signal.upper())}"
    advice = f"Install {package}" if package else f"Installed are {_installed(signal)}"
    other = "http/protobuf" if name == GRPC else "grpc"
    if protocol and any(p.name == PROTOCOLS[other] for p in entry_points(f"opentelemetry_{signal}_exporter")):
        advice += f", or set OTEL_EXPORTER_OTLP_PROTOCOL={other}, which is installed"
    how = "" if variable in given or not protocol else " (the default)"
    return "", blocked(
        "exporter.missing",
        f"Nothing starts at all, because {wanted}{how} is not installed. {advice}.",
        exporter=name,
    )


def _installed(signal: str) -> str:
    return ", ".join(sorted(point.name for point in entry_points(f"opentelemetry_{signal}_exporter"))) or "none"


def sampler_findings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Samplers that drop spans."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if not name:
        return
    lowered = name.lower()
    if lowered in ("always_off", "parentbased_always_off"):
        roots = "" if lowered == "always_off" else " that has no sampled parent"
        yield blocked(
            "sampler.drops_all",
            f"OTEL_TRACES_SAMPLER is {name}: it drops every span{roots}. Unset it, or use parentbased_always_on.",
            [TRACES],
        )
    elif lowered in ("traceidratio", "parentbased_traceidratio"):
        yield from _ratio(name, environ.get("OTEL_TRACES_SAMPLER_ARG", ""))
    elif not any(point.name == name for point in entry_points("opentelemetry_traces_sampler")):
        yield warning(
            "sampler.unknown", f"OTEL_TRACES_SAMPLER names {name!r}, which is not installed: the default is used."
        )


def _ratio(name: str, argument: str) -> Iterator[Finding]:
    try:
        ratio = float(argument)
    except ValueError:
        yield warning(
            "sampler.bad_ratio",
            f"OTEL_TRACES_SAMPLER is {name}, but OTEL_TRACES_SAMPLER_ARG is no number: all is kept.",
        )
        return
    if ratio <= 0:
        yield blocked(
            "sampler.drops_all", f"OTEL_TRACES_SAMPLER_ARG is {argument.strip()}: {name} drops every span.", [TRACES]
        )
    elif ratio < 1:
        yield warning("sampler.ratio", f"{name} keeps {ratio:.4g} of all traces: one call may well not be among them.")


def exporter_findings(found: list[Exporter]) -> list[Finding]:
    """Exporters that send nothing over the network."""
    other = [one for one in found if one.name not in (GRPC, HTTP) and one.signal in SIGNALS]
    return [
        ok("exporter.other", f"{_NOUNS[one.signal].capitalize()} go to the exporter {one.name!r}.", signal=one.signal)
        for one in other
    ]
