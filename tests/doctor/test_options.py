"""Variables that are misspelt, unknown or of no sense."""

from __future__ import annotations

import pytest

from tests.doctor.conftest import Doctor


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("OTEL_PYTHON_CONSUL_SUPRESS_HTTP", "OTEL_PYTHON_CONSUL_SUPPRESS_HTTP"),
        ("OTEL_CONSUL_STALL_THRESHOLD", "OTEL_PYTHON_CONSUL_STALL_THRESHOLD"),
        ("OTEL_PYTHON_CONSUL_CAPTURE_KEY", "OTEL_PYTHON_CONSUL_CAPTURE_KEYS"),
    ],
)
def test_a_misspelt_option(doctor: Doctor, variable: str, meant: str) -> None:
    report = doctor(**{variable: "1"})

    assert (report.status, report.first) == (0, "option.unknown")
    assert report.text("option.unknown") == f"{variable} is no option, and does nothing. Did you mean {meant}?"


def test_an_option_like_no_other(doctor: Doctor) -> None:
    report = doctor(OTEL_PYTHON_CONSUL_QQQ="1")

    assert "Known are" in report.text("option.unknown")


def test_a_hook_in_a_variable(doctor: Doctor) -> None:
    report = doctor(OTEL_PYTHON_CONSUL_REQUEST_HOOK="shop:hook")

    assert (report.status, report.first) == (0, "option.hook")


def test_a_misspelt_variable_of_opentelemetry(doctor: Doctor) -> None:
    report = doctor(OTEL_TRACE_EXPORTER="none")

    assert (report.status, report.first) == (0, "option.misspelt")
    assert "Did you mean OTEL_TRACES_EXPORTER?" in report.text("option.misspelt")


def test_a_bad_value(doctor: Doctor) -> None:
    report = doctor(OTEL_PYTHON_CONSUL_PHASES="ture", OTEL_PYTHON_CONSUL_STALL_THRESHOLD="5s")

    assert (report.status, report.first) == (0, "option.bad_value")
    texts = [one["text"] for one in report.findings if one["code"] == "option.bad_value"]
    assert any("OTEL_PYTHON_CONSUL_PHASES='ture' is not understood" in text for text in texts)
    assert any("OTEL_PYTHON_CONSUL_STALL_THRESHOLD='5s'" in text for text in texts)


def test_every_operation_is_excluded(doctor: Doctor) -> None:
    report = doctor(OTEL_PYTHON_CONSUL_EXCLUDED_OPERATIONS="*")

    assert (report.status, report.first) == (1, "option.excludes_all")


def test_the_trial_call_is_excluded(doctor: Doctor) -> None:
    report = doctor("--send", OTEL_PYTHON_CONSUL_EXCLUDED_OPERATIONS="status.*")

    assert (report.status, report.first) == (0, "call.excluded")
    assert "send.nothing" in report.codes
