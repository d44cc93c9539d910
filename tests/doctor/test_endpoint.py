"""Endpoints that do not answer, answer something else, or want to be asked in another way."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.otlp_receiver import OtlpReceiver
from testbed.stub_agent import backlog_full_port, refused_port
from tests.doctor import servers
from tests.doctor.conftest import Doctor, Environment

GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
OTLP = servers.http_answer(200, "application/x-protobuf")


def at(port: int, scheme: str = "http") -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{scheme}://127.0.0.1:{port}"}


@pytest.fixture(params=["http/protobuf", "grpc"])
def protocol(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "grpc":
        pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", exc_type=ImportError)
    return {"OTEL_EXPORTER_OTLP_PROTOCOL": request.param}


# --- nobody answers --------------------------------------------------------------------------------------------------


def test_refused(doctor: Doctor, protocol: dict[str, str]) -> None:
    port = refused_port()
    report = doctor(**at(port), **protocol)

    assert (report.status, report.first) == (1, "endpoint.refused")
    assert f"127.0.0.1:{port}" in report.text("endpoint.refused")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in report.text("endpoint.refused")


def test_the_name_is_unknown(doctor: Doctor, protocol: dict[str, str]) -> None:
    report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.invalid:4318", **protocol)

    assert (report.status, report.first) == (1, "endpoint.dns")


def test_no_connection_comes_about(doctor: Doctor, protocol: dict[str, str]) -> None:
    with backlog_full_port() as port:
        report = doctor("--timeout", "0.5", **at(port), **protocol)

    assert (report.status, report.first) == (1, "endpoint.timeout")


def test_silence(doctor: Doctor, protocol: dict[str, str]) -> None:
    with servers.answering(None) as port:
        report = doctor("--timeout", "0.5", **at(port), **protocol)

    assert (report.status, report.first) == (1, "endpoint.silent")


def test_closed_at_once(doctor: Doctor, protocol: dict[str, str]) -> None:
    with servers.answering(b"") as port:
        report = doctor(**at(port), **protocol)

    assert (report.status, report.first) == (1, "endpoint.closed")


# --- somebody else does ----------------------------------------------------------------------------------------------


def test_html(doctor: Doctor, protocol: dict[str, str]) -> None:
    with servers.answering(servers.HTML) as port:
        report = doctor(**at(port), **protocol)

    assert (report.status, report.first) == (1, "endpoint.not_otlp")


def test_no_http_at_all(doctor: Doctor) -> None:
    with servers.answering(servers.SSH) as port:
        report = doctor(**at(port))

    assert (report.status, report.first) == (1, "endpoint.not_http")


def test_no_grpc_at_all(doctor: Doctor) -> None:
    with servers.answering(servers.SSH) as port:
        report = doctor(**at(port), **GRPC)

    assert (report.status, report.first) == (1, "endpoint.not_otlp")


def test_one_that_knows_no_such_path(doctor: Doctor) -> None:
    with servers.answering(servers.http_answer(404)) as port:
        report = doctor(**at(port))

    assert (report.status, report.first) == (1, "endpoint.not_found")


def test_a_path_that_is_given_twice(doctor: Doctor, receiver: OtlpReceiver) -> None:
    report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"{receiver.endpoint}/v1/traces")

    assert (report.status, report.first) == (1, "endpoint.wrong_path")


def test_one_that_takes_traces_only(doctor: Doctor, receiver: OtlpReceiver) -> None:
    report = doctor(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{receiver.endpoint}/nothing")

    assert (report.status, report.first) == (0, "endpoint.not_found")
    assert report.of("verdict.seen")["facts"]["signals"] == ["traces"]


@pytest.mark.parametrize("status", [401, 403])
def test_it_wants_credentials(doctor: Doctor, receiver: OtlpReceiver, status: int) -> None:
    receiver.answer(status)
    report = doctor()

    assert (report.status, report.first) == (1, "endpoint.unauthorized")
    assert "a request without credentials" in report.text("endpoint.unauthorized")


def test_it_refuses_credentials(doctor: Doctor, receiver: OtlpReceiver) -> None:
    receiver.answer(401)
    report = doctor(OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%205ec7e7-credential")

    assert "refuses the credentials in OTEL_EXPORTER_OTLP_HEADERS" in report.text("endpoint.unauthorized")
    assert "5ec7e7" not in report.out


def test_it_is_overloaded(doctor: Doctor, receiver: OtlpReceiver) -> None:
    receiver.answer(503)
    report = doctor()

    assert (report.status, report.first) == (0, "endpoint.overloaded")


def test_it_refuses_an_export_of_nothing(doctor: Doctor, receiver: OtlpReceiver) -> None:
    receiver.answer(400)

    assert doctor().first == "verdict.seen"


# --- TLS -------------------------------------------------------------------------------------------------------------


def test_https_where_there_is_no_tls(doctor: Doctor, receiver: OtlpReceiver, protocol: dict[str, str]) -> None:
    report = doctor(**at(receiver.port, "https"), **protocol)

    assert (report.status, report.first) == (1, "endpoint.not_tls")


def test_https_where_grpc_does_without_tls(doctor: Doctor) -> None:
    pytest.importorskip("grpc")
    with servers.grpc_server("TraceService", "MetricsService") as port:
        report = doctor(**at(port, "https"), **GRPC)

    assert (report.status, report.first) == (1, "endpoint.not_tls")


def test_http_where_there_is_tls(doctor: Doctor, protocol: dict[str, str], tmp_path: Path) -> None:
    with servers.tls(tmp_path, OTLP) as (port, _):
        report = doctor(**at(port), **protocol)

    assert (report.status, report.first) == (1, "endpoint.wants_tls")


def test_http_where_go_wants_tls(doctor: Doctor) -> None:
    with servers.answering(servers.GO_WANTS_TLS) as port:
        report = doctor(**at(port))

    assert (report.status, report.first) == (1, "endpoint.wants_tls")


def test_a_certificate_nobody_trusts(doctor: Doctor, protocol: dict[str, str], tmp_path: Path) -> None:
    with servers.tls(tmp_path, OTLP) as (port, _):
        report = doctor(**at(port, "https"), **protocol)

    assert (report.status, report.first) == (1, "endpoint.certificate")
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in report.text("endpoint.certificate")


def test_a_certificate_that_is_trusted(doctor: Doctor, tmp_path: Path) -> None:
    with servers.tls(tmp_path, OTLP) as (port, certificate):
        report = doctor(**at(port, "https"), OTEL_EXPORTER_OTLP_CERTIFICATE=str(certificate))

    assert (report.status, report.first) == (0, "verdict.seen")


def test_a_certificate_file_that_is_not_there(doctor: Doctor) -> None:
    report = doctor(**at(4318, "https"), OTEL_EXPORTER_OTLP_CERTIFICATE="nowhere.pem")

    assert (report.status, report.first) == (1, "endpoint.certificate_file")


# --- the other protocol's port ---------------------------------------------------------------------------------------


def test_http_to_a_grpc_port(doctor: Doctor) -> None:
    pytest.importorskip("grpc")
    with servers.grpc_server("TraceService", "MetricsService") as port:
        report = doctor(**at(port))

    assert (report.status, report.first) == (1, "endpoint.is_grpc")
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in report.text("endpoint.is_grpc")


def test_grpc_to_an_http_port(doctor: Doctor, receiver: OtlpReceiver) -> None:
    report = doctor(**GRPC)

    assert (report.status, report.first) == (1, "endpoint.is_http")
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in report.text("endpoint.is_http")


def test_grpc_where_it_belongs(doctor: Doctor) -> None:
    pytest.importorskip("grpc")
    with servers.grpc_server("TraceService", "MetricsService") as port:
        report = doctor("--send", **at(port), **GRPC)

    assert (report.status, report.first) == (0, "verdict.seen")
    assert report.codes.count("send.ok") == 2


def test_grpc_that_takes_no_metrics(doctor: Doctor) -> None:
    pytest.importorskip("grpc")
    with servers.grpc_server("TraceService") as port:
        report = doctor(**at(port), **GRPC)

    assert (report.status, report.first) == (0, "endpoint.not_otlp")
    assert "metrics" in report.text("endpoint.not_otlp")


def test_grpc_that_wants_credentials(doctor: Doctor) -> None:
    pytest.importorskip("grpc")
    with servers.grpc_server("TraceService", "MetricsService", refuse="UNAUTHENTICATED") as port:
        report = doctor(**at(port), **GRPC)

    assert (report.status, report.first) == (1, "endpoint.unauthorized")


def test_grpc_that_fails(doctor: Doctor) -> None:
    pytest.importorskip("grpc")
    with servers.grpc_server("TraceService", "MetricsService", refuse="INTERNAL") as port:
        report = doctor(**at(port), **GRPC)

    assert (report.status, report.first) == (1, "endpoint.failed")
    assert "(INTERNAL)" in report.text("endpoint.failed")


def test_grpc_that_is_overloaded(doctor: Doctor) -> None:
    pytest.importorskip("grpc")
    with servers.grpc_server("TraceService", "MetricsService", refuse="RESOURCE_EXHAUSTED") as port:
        report = doctor(**at(port), **GRPC)

    assert (report.status, report.first) == (0, "endpoint.overloaded")


def test_grpc_without_the_library(doctor: Doctor, environment: Environment) -> None:
    with servers.grpc_server("TraceService", "MetricsService") as port:
        report = doctor(python=environment.link("grpc", "grpcio-*").python, **at(port), **GRPC)

    assert (report.status, report.first) == (1, "launcher.failed")
    assert "without grpcio" in report.text("endpoint.grpc")


def test_grpc_with_a_broken_library(doctor: Doctor, environment: Environment) -> None:
    environment.link("grpc", "grpcio-*").write("grpc/__init__.py", "")
    with servers.grpc_server("TraceService", "MetricsService") as port:
        report = doctor(python=environment.python, **at(port), **GRPC)

    assert report.status == 1
    assert "The doctor itself failed there, with AttributeError" in report.text("doctor.failed")


# --- how it is said --------------------------------------------------------------------------------------------------


def test_an_address_without_a_scheme(doctor: Doctor) -> None:
    report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="localhost:4318")

    assert (report.status, report.first) == (1, "endpoint.no_scheme")


def test_an_address_without_a_scheme_means_tls_to_grpc(doctor: Doctor) -> None:
    pytest.importorskip("grpc")
    with servers.grpc_server("TraceService", "MetricsService") as port:
        report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"127.0.0.1:{port}", **GRPC)

    assert (report.status, report.first) == (1, "endpoint.not_tls")
    assert "Put http:// before it" in report.text("endpoint.not_tls")


def test_an_address_that_is_none(doctor: Doctor) -> None:
    report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:port")

    assert (report.status, report.first) == (1, "endpoint.unreadable")


def test_a_proxy_on_the_way(doctor: Doctor, receiver: OtlpReceiver) -> None:
    report = doctor(HTTP_PROXY="http://proxy.invalid:3128", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)

    assert "endpoint.proxy" in report.codes


def test_what_is_sent_is_not_taken(doctor: Doctor, receiver: OtlpReceiver) -> None:
    receiver.answer(400)  # which an export of nothing may well be answered with

    report = doctor("--send")

    assert (report.status, report.first) == (1, "send.failed")
