"""SDKs that are missing, off, sample nothing or export nowhere."""

from __future__ import annotations

import socket

import pytest

from tests.doctor.conftest import Doctor, Environment

GRPC = (
    "opentelemetry_exporter_otlp_proto_grpc-*",
    "opentelemetry_exporter_otlp-*",
    "opentelemetry/exporter/otlp/proto/grpc",
)
HTTP = (
    "opentelemetry_exporter_otlp_proto_http-*",
    "opentelemetry_exporter_otlp-*",
    "opentelemetry/exporter/otlp/proto/http",
)


def test_it_is_not_installed(doctor: Doctor, environment: Environment) -> None:
    report = doctor(python=environment.link("opentelemetry_sdk-*", "opentelemetry/sdk").python)

    assert (report.status, report.first) == (1, "sdk.missing")
    assert "otel-consul[otlp]" in report.text("sdk.missing")
    assert "exporter.missing" not in report.codes


def test_it_is_disabled(doctor: Doctor) -> None:
    report = doctor(OTEL_SDK_DISABLED=" True")

    assert (report.status, report.first) == (1, "sdk.disabled")


def test_a_file_configures_it(doctor: Doctor) -> None:
    report = doctor(OTEL_CONFIG_FILE="otel.yaml")

    assert "sdk.config_file" in report.codes


@pytest.mark.parametrize(("signal", "noun"), [("traces", "spans"), ("metrics", "metrics")])
def test_one_signal_is_not_exported(doctor: Doctor, signal: str, noun: str) -> None:
    report = doctor(**{f"OTEL_{signal.upper()}_EXPORTER": "none"})

    assert (report.status, report.first) == (0, f"exporter.none.{signal}")
    assert f"no {noun} are exported" in report.text(report.first)
    assert report.of("verdict.seen")["facts"]["signals"] == [{"traces": "metrics", "metrics": "traces"}[signal]]


def test_no_signal_is_exported(doctor: Doctor) -> None:
    report = doctor(OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="None")

    assert (report.status, report.first) == (1, "exporter.none.traces")
    assert "verdict.seen" not in report.codes


def test_what_is_meant_does_not_hide_what_is_not(doctor: Doctor) -> None:
    report = doctor(OTEL_METRICS_EXPORTER="none", OTEL_TRACES_SAMPLER="always_off")

    assert (report.status, report.first) == (1, "sampler.drops_all")


def test_logs_are_not_exported(doctor: Doctor) -> None:
    report = doctor(OTEL_LOGS_EXPORTER="none")

    assert (report.status, report.first) == (0, "exporter.none.logs")


def test_an_exporter_that_is_not_installed(doctor: Doctor) -> None:
    report = doctor(OTEL_TRACES_EXPORTER="zipkin")

    assert (report.status, report.first) == (1, "exporter.missing")
    assert "'zipkin' of OTEL_TRACES_EXPORTER is not installed" in report.text("exporter.missing")


def test_the_default_protocol_is_not_installed(doctor: Doctor, environment: Environment) -> None:
    report = doctor(python=environment.link(*GRPC).python, OTEL_EXPORTER_OTLP_PROTOCOL=None)

    assert (report.status, report.first) == (1, "exporter.missing")
    assert "the protocol grpc (the default) is not installed" in report.text("exporter.missing")
    assert "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, which is installed" in report.text("exporter.missing")
    assert report.codes.count("exporter.missing") == 1


def test_the_protocol_asked_for_is_not_installed(doctor: Doctor, environment: Environment) -> None:
    report = doctor(python=environment.link(*HTTP).python)

    assert (report.status, report.first) == (1, "exporter.missing")
    assert "Install opentelemetry-exporter-otlp-proto-http" in report.text("exporter.missing")


def test_a_protocol_that_no_exporter_speaks(doctor: Doctor) -> None:
    report = doctor(OTEL_EXPORTER_OTLP_PROTOCOL="http/json")

    assert (report.status, report.first) == (1, "protocol.unknown")


@pytest.mark.parametrize(
    ("sampler", "argument"),
    [
        ("always_off", None),
        ("parentbased_always_off", None),
        ("traceidratio", "0"),
        ("parentbased_traceidratio", "0.0"),
    ],
)
def test_a_sampler_that_drops_all(doctor: Doctor, sampler: str, argument: str | None) -> None:
    report = doctor(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument)

    assert (report.status, report.first) == (0, "sampler.drops_all")
    assert report.of("sampler.drops_all")["level"] == "problem"
    assert report.of("verdict.seen")["facts"]["signals"] == ["metrics"]


@pytest.mark.parametrize(
    ("sampler", "argument", "code"),
    [
        ("parentbased_traceidratio", "0.01", "sampler.ratio"),
        ("traceidratio", "a tenth", "sampler.bad_ratio"),
        ("sometimes", None, "sampler.unknown"),
    ],
)
def test_a_sampler_that_may_surprise(doctor: Doctor, sampler: str, argument: str | None, code: str) -> None:
    report = doctor(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument)

    assert (report.status, report.first) == (0, code)


def test_exporters_that_are_not_otlp(doctor: Doctor) -> None:
    report = doctor(OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="none")

    assert report.status == 0
    assert "'console'" in report.text("exporter.other")
    assert "endpoint.ok" not in report.codes


def test_an_exporter_whose_port_the_running_program_has(doctor: Doctor) -> None:
    pytest.importorskip("opentelemetry.exporter.prometheus", exc_type=ImportError)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        report = doctor(OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=str(taken.getsockname()[1]))

    assert (report.status, report.first) == (0, "verdict.seen")
    assert "'prometheus'" in report.text("exporter.other")
