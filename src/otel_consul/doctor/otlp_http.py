"""Whether an endpoint takes OTLP by http/protobuf: an export of nothing is posted to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from otel_consul.doctor import dial
from otel_consul.doctor.dial import UNTOLD, WORDS, Answer, NoAnswer, Why
from otel_consul.doctor.finding import Finding, blocked, ok, problem
from otel_consul.doctor.otlp import Endpoint
from otel_consul.doctor.sdk import HTTP

_HEADERS: Final = {"Content-Type": "application/x-protobuf", "User-Agent": "otel-consul-doctor"}
_OTLP_TYPES: Final = ("application/x-protobuf", "application/json", "application/protobuf")
_TLS_ASKED: Final = b"HTTP request to an HTTPS server"
_TAKEN: Final = range(200, 300)
_BAD: Final = 400
_UNAUTHORIZED: Final = (401, 403)
_NOTHING: Final = (404, 405)
_LATER: Final = (429, 502, 503, 504)


def look(endpoint: Endpoint) -> Finding:
    """Post it, and read the answer."""
    place = endpoint.place
    try:
        answer = dial.ask(place, "POST", endpoint.path, {**endpoint.headers, **_HEADERS})
    except NoAnswer as exc:
        return _none(endpoint, exc.why)
    if answer is None:
        return _strange(endpoint)
    return judge(endpoint, answer)


def takes_otlp(endpoint: Endpoint) -> bool:
    """Whether http/protobuf works at this host and port."""
    try:
        answer = dial.ask(endpoint.place, "POST", f"/v1/{endpoint.signal}", {**endpoint.headers, **_HEADERS})
    except NoAnswer:
        return False
    asked = replace(endpoint, kind=HTTP)
    return answer is not None and not judge(asked, answer).blocks


def _none(endpoint: Endpoint, why: str) -> Finding:
    place = endpoint.place
    if why in UNTOLD and place.tls is not None and dial.speaks_without_tls(place):
        why = Why.NOT_TLS
    elif why in UNTOLD:
        if dial.speaks_http2(place):
            return _strange(endpoint)
        if place.tls is None and dial.speaks_tls(place):
            return _wants_tls(endpoint)
    advice = ""
    if why == Why.REFUSED:
        advice = ". Start the collector, or say where it is: OTEL_EXPORTER_OTLP_ENDPOINT"
    elif why == Why.CERTIFICATE:
        advice = ". Name its CA in OTEL_EXPORTER_OTLP_CERTIFICATE"
    return blocked(
        f"endpoint.{why}",
        f"The OTLP endpoint {endpoint.shown} does not answer: {WORDS[why]}{advice}.",
        [endpoint.signal],
        url=endpoint.shown,
    )


def _wants_tls(endpoint: Endpoint) -> Finding:
    return blocked(
        "endpoint.wants_tls",
        f"The OTLP endpoint {endpoint.shown} speaks TLS, and is asked without. Use https.",
        [endpoint.signal],
        url=endpoint.shown,
    )


def _strange(endpoint: Endpoint) -> Finding:
    if dial.speaks_http2(endpoint.place):
        return blocked(
            "endpoint.is_grpc",
            f"The OTLP endpoint {endpoint.shown} is a gRPC port, and the protocol is http/protobuf. Set "
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use the HTTP port, which is usually 4318.",
            [endpoint.signal],
            url=endpoint.shown,
        )
    return blocked(
        "endpoint.not_http",
        f"What answers at the OTLP endpoint {endpoint.shown} does not speak HTTP.",
        [endpoint.signal],
        url=endpoint.shown,
    )


def judge(endpoint: Endpoint, answer: Answer) -> Finding:
    """What an answer to an export means."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    otlp = kind in _OTLP_TYPES or (not kind and not answer.body)
    facts = {"url": endpoint.shown, "status": answer.status, "content_type": kind}
    at = f"The OTLP endpoint {endpoint.shown}"
    if answer.status == _BAD and _TLS_ASKED in answer.body:
        return _wants_tls(endpoint)
    if otlp and answer.status in _TAKEN:
        return ok("endpoint.ok", f"{at} takes {endpoint.signal} by http/protobuf.", **facts)
    if otlp and answer.status == _BAD:
        return ok("endpoint.ok", f"{at} speaks OTLP by http/protobuf; it will not have an export of nothing.", **facts)
    if answer.status in _LATER:
        text = f"{at} takes nothing just now (status {answer.status}): exports are tried again."
        return problem("endpoint.overloaded", text, **facts)
    code, text = _refusal(endpoint, answer.status, kind)
    return blocked(code, f"{at} {text}.", [endpoint.signal], **facts)


def _refusal(endpoint: Endpoint, status: int, kind: str) -> tuple[str, str]:
    """A code, and what completes `The endpoint X ...`."""
    if status in _UNAUTHORIZED:
        how = "the credentials in OTEL_EXPORTER_OTLP_HEADERS" if endpoint.headers else "a request without credentials"
        return "endpoint.unauthorized", f"refuses {how} (status {status})"
    nothing = f"has nothing there (status {status})"
    if status in _NOTHING and endpoint.general and endpoint.path.count("/v1/") > 1:
        why = "OTEL_EXPORTER_OTLP_ENDPOINT must end before /v1/…, which is appended"
        return "endpoint.wrong_path", f"{nothing}. {why}"
    if status in _NOTHING:
        return "endpoint.not_found", f"{nothing}: either it does not take {endpoint.signal}, or it is no OTLP server"
    what = f"status {status}" + (f", {kind}" if kind else "")
    return "endpoint.not_otlp", f"answers, but not with OTLP ({what}): another HTTP server is there"
