"""Where telemetry would be sent, and whether it would be taken there."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from otel_consul.doctor.dial import Place
from otel_consul.doctor.display import address
from otel_consul.doctor.finding import SIGNALS, Finding, blocked, warning
from otel_consul.doctor.sdk import GRPC, HTTP, Exporter

_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_DEFAULTS: Final = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Endpoint:
    """Where one signal goes."""

    signal: str
    kind: str
    """`otlp_proto_http` or `otlp_proto_grpc`."""
    url: str
    variable: str
    """Where that is said; empty where it is the default."""
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    timeout: float = 1.0
    certificate: str = ""
    """The file of the CA that is trusted; empty: the system's."""
    general: bool = False
    """Whether the path was appended to an address for all signals."""

    @property
    def place(self) -> Place:
        """To connect to. ValueError if the URL names none."""
        parts = urlsplit(self.url if "://" in self.url else f"//{self.url}")
        if not parts.hostname:
            raise ValueError("no host")
        port = parts.port or _PORTS.get(parts.scheme, 443 if self.tls is not None else 80)
        return Place(parts.hostname, port, self.tls, timeout=self.timeout)

    @property
    def path(self) -> str:
        """Of the request, for http/protobuf."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def shown(self) -> str:
        """For people: the address, and where it comes from."""
        return f"{address(self.url)} ({self.variable or 'the default'})"


def endpoints(
    exporters: Sequence[Exporter], environ: Mapping[str, str], timeout: float
) -> tuple[list[Endpoint], list[Finding]]:
    """Where the OTLP exporters send what they get, and what is wrong with how that is said."""
    found: list[Endpoint] = []
    findings: list[Finding] = []
    for exporter in exporters:
        if exporter.name not in (HTTP, GRPC) or exporter.signal not in SIGNALS:
            continue
        endpoint, finding = _endpoint(exporter, environ, timeout)
        if endpoint is not None:
            found.append(endpoint)
        if finding is not None:
            findings.append(finding)
    return found, findings


def _endpoint(exporter: Exporter, environ: Mapping[str, str], timeout: float) -> tuple[Endpoint | None, Finding | None]:
    signal, kind = exporter.signal, exporter.name
    variable = f"{_PREFIX}{signal.upper()}_ENDPOINT"
    general = not environ.get(variable)
    if general:
        variable = f"{_PREFIX}ENDPOINT" if environ.get(f"{_PREFIX}ENDPOINT") else ""
    url = environ.get(variable, "") if variable else _DEFAULTS[kind]
    if kind == HTTP:
        if not url.startswith(("http://", "https://")):
            return None, blocked(
                "endpoint.no_scheme",
                f"{variable} is {address(url)!r}, without http:// or https://: the exporter cannot send there.",
                [signal],
                variable=variable,
            )
        if general:
            url = f"{url.rstrip('/')}/v1/{signal}"
    try:
        port = urlsplit(url if "://" in url else f"//{url}").port
    except ValueError:
        port = -1
    if port == -1:
        return None, blocked(
            "endpoint.unreadable", f"{variable} cannot be read as an address.", [signal], variable=variable
        )
    try:
        tls = _tls(signal, environ) if _secure(kind, url, signal, environ) else None
    except (OSError, ssl.SSLError):
        return None, blocked(
            "endpoint.certificate_file",
            f"A certificate file that {_PREFIX}… names for {signal} cannot be read.",
            [signal],
        )
    finding = _proxy(kind, url) if tls is None or kind == HTTP else None
    headers = _headers(_of(signal, "HEADERS", environ))
    return Endpoint(
        signal, kind, url, variable, headers, tls, timeout, _of(signal, "CERTIFICATE", environ), general
    ), finding


def _of(signal: str, name: str, environ: Mapping[str, str]) -> str:
    return environ.get(f"{_PREFIX}{signal.upper()}_{name}") or environ.get(f"{_PREFIX}{name}") or ""


def _secure(kind: str, url: str, signal: str, environ: Mapping[str, str]) -> bool:
    if kind == HTTP or url.startswith("https://"):
        return url.startswith("https://")
    insecure = _of(signal, "INSECURE", environ)
    return insecure.strip().lower() != "true" if insecure else not url.startswith("http://")


def _tls(signal: str, environ: Mapping[str, str]) -> ssl.SSLContext:
    certificate = _of(signal, "CERTIFICATE", environ)
    context = ssl.create_default_context(cafile=certificate or environ.get("REQUESTS_CA_BUNDLE") or None)
    chain = _of(signal, "CLIENT_CERTIFICATE", environ)
    if chain:
        context.load_cert_chain(chain, _of(signal, "CLIENT_KEY", environ) or None)
    return context


def _headers(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {unquote(name).strip().lower(): unquote(value).strip() for name, _, value in pairs}


def _proxy(kind: str, url: str) -> Finding | None:
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if kind != HTTP or not proxy or proxy_bypass(parts.hostname or ""):
        return None
    return warning(
        "endpoint.proxy",
        f"The exporter asks {address(url)} through a proxy ({parts.scheme}_proxy is set); here it was asked directly. Put "
        f"{parts.hostname} into no_proxy if that is not meant.",
    )
