"""Whether an endpoint takes OTLP by gRPC: HTTP/2 is tried by hand, then an export of nothing by the grpc library."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from otel_consul.doctor import dial, otlp_http
from otel_consul.doctor.dial import UNTOLD, WORDS, NoAnswer, Why
from otel_consul.doctor.finding import METRICS, TRACES, Finding, blocked, ok, problem
from otel_consul.doctor.otlp import Endpoint

_SERVICES: Final = {
    TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_REFUSED: Final = ("UNAUTHENTICATED", "PERMISSION_DENIED")
_LATER: Final = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED")


def look(endpoint: Endpoint) -> Finding:
    """Connect, see who is there, and export nothing."""
    place = endpoint.place
    try:
        raw = dial.converse(place, dial.PREFACE, alpn="h2")
    except NoAnswer as exc:
        return _none(endpoint, exc.why)
    if dial.is_http2(raw):
        return _export(endpoint)
    if place.tls is None and _asks_for_tls(raw, endpoint):
        return _wants_tls(endpoint)
    return _is_http(endpoint, http=raw.startswith(b"HTTP/"))


def _asks_for_tls(raw: bytes, endpoint: Endpoint) -> bool:
    """A TLS alert, or the text that Go's servers have for it."""
    return raw[:2] == b"\x15\x03" or (b"HTTPS" in raw and dial.speaks_tls(endpoint.place))


def _wants_tls(endpoint: Endpoint) -> Finding:
    return blocked(
        "endpoint.wants_tls",
        f"The OTLP endpoint {endpoint.shown} speaks TLS, and is asked without. Use https, and no "
        "OTEL_EXPORTER_OTLP_INSECURE.",
        [endpoint.signal],
        url=endpoint.shown,
    )


def _is_http(endpoint: Endpoint, *, http: bool) -> Finding:
    if otlp_http.takes_otlp(endpoint):
        return blocked(
            "endpoint.is_http",
            f"The OTLP endpoint {endpoint.shown} takes http/protobuf, and the protocol is grpc. Set "
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use the gRPC port, which is usually 4317.",
            [endpoint.signal],
            url=endpoint.shown,
        )
    what = "is an HTTP server that does not speak gRPC" if http else "does not speak gRPC"
    return blocked(
        "endpoint.not_otlp",
        f"What answers at the OTLP endpoint {endpoint.shown} {what}.",
        [endpoint.signal],
        url=endpoint.shown,
    )


def _none(endpoint: Endpoint, why: str) -> Finding:
    place = endpoint.place
    if why in UNTOLD and place.tls is not None and dial.speaks_without_tls(place):
        why = Why.NOT_TLS
    elif why in UNTOLD:
        if otlp_http.takes_otlp(endpoint):
            return _is_http(endpoint, http=True)
        if place.tls is None and dial.speaks_tls(place):
            return _wants_tls(endpoint)
    advice = ""
    if why == Why.REFUSED:
        advice = ". Start the collector, or say where it is: OTEL_EXPORTER_OTLP_ENDPOINT"
    elif why == Why.CERTIFICATE:
        advice = ". Name its CA in OTEL_EXPORTER_OTLP_CERTIFICATE"
    elif why == Why.NOT_TLS:
        advice = "://"
    words = WORDS[why]
    if why == Why.NOT_TLS and "://" not in endpoint.url:
        words = "it does not speak TLS, which an address without http:// demands. Put http"
        advice = ":// before it"
    return blocked(
        f"endpoint.{why}",
        f"The OTLP endpoint {endpoint.shown} does not answer: {words}{advice}.",
        [endpoint.signal],
        url=endpoint.shown,
    )


def _export(endpoint: Endpoint) -> Finding:
    at = f"The OTLP endpoint {endpoint.shown}"
    if find_spec("grpc") is None:
        return ok("endpoint.grpc", f"{at} speaks HTTP/2, as gRPC does; without grpcio no export can be tried.")
    code = _status(endpoint)
    facts = {"url": endpoint.shown, "status": code}
    if code in ("OK", "INVALID_ARGUMENT"):
        return ok("endpoint.ok", f"{at} takes {endpoint.signal} by grpc.", **facts)
    if code in _LATER:
        return problem(
            "endpoint.overloaded", f"{at} takes nothing just now ({code}): exports are tried again.", **facts
        )
    name, text = _refusal(endpoint, code)
    return blocked(name, f"{at} {text}.", [endpoint.signal], **facts)


def _refusal(endpoint: Endpoint, code: str) -> tuple[str, str]:
    """A code, and what completes `The endpoint X ...`."""
    if code == "UNIMPLEMENTED":
        return "endpoint.not_otlp", f"is a gRPC server that does not take {endpoint.signal} by OTLP"
    if code in _REFUSED:
        how = "the credentials in OTEL_EXPORTER_OTLP_HEADERS" if endpoint.headers else "a request without credentials"
        return "endpoint.unauthorized", f"refuses {how} ({code})"
    if code == "DEADLINE_EXCEEDED":
        return "endpoint.silent", "speaks gRPC, and does not answer an export in time"
    return "endpoint.failed", f"speaks gRPC, and fails an export of nothing ({code})"


def _status(endpoint: Endpoint) -> str:
    """The status of an export of nothing, by its name."""
    grpc: Any = import_module("grpc")
    place = endpoint.place
    target = f"[{place.host}]:{place.port}" if ":" in place.host else f"{place.host}:{place.port}"
    channel = (
        grpc.insecure_channel(target)
        if place.tls is None
        else grpc.secure_channel(target, _credentials(grpc, endpoint.certificate))
    )
    try:
        call = channel.unary_unary(_SERVICES[endpoint.signal], bytes, bytes)
        call(b"", timeout=endpoint.timeout, metadata=tuple(endpoint.headers.items()))
    except grpc.RpcError as exc:
        return str(exc.code().name)
    finally:
        channel.close()
    return "OK"


def _credentials(grpc: Any, file: str) -> Any:
    """As the exporter makes them; whether the certificate is trusted has been seen by then."""
    return grpc.ssl_channel_credentials(Path(file).read_bytes() if file else None)
