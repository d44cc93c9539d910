"""Where all is well: status 0, the verdict first, and what a call leaves."""

from __future__ import annotations

import re

from testbed.otlp_receiver import OtlpReceiver
from testbed.stub_agent import StubAgent
from tests.doctor.conftest import Doctor


def test_says_so_first_and_ends_with_0(doctor: Doctor, receiver: OtlpReceiver, stub: StubAgent) -> None:
    report = doctor()

    assert report.status == 0, report.out
    assert report.first == "verdict.seen"
    assert receiver.endpoint in report.text("verdict.seen")
    assert not [one for one in report.findings if one["level"] != "ok"], report.out
    assert re.fullmatch(r"Consul 1\.8\.7 answers at 127\.0\.0\.1:\d+ \(CONSUL_HTTP_ADDR\)\.", report.text("consul.ok"))
    assert not report.err


def test_shows_the_span_of_a_real_call_and_counts_its_metrics(doctor: Doctor, stub: StubAgent) -> None:
    report = doctor()

    assert "/v1/status/leader" in [request.path for request in stub.requests]
    span = report.of("call.span")["facts"]
    assert span["name"] == "status.leader"
    assert span["attributes"]["consul.outcome"] == "ok"
    assert span["attributes"]["server.port"] == stub.port
    assert "wait" in report.text("call.span")
    assert "consul.client.operation.duration" in report.of("call.metrics")["facts"]["metrics"]


def test_sends_nothing_unasked(doctor: Doctor, receiver: OtlpReceiver) -> None:
    assert doctor().status == 0

    assert not receiver.spans
    assert not receiver.metrics
    assert all(raw.body == b"" for raw in receiver.raw)


def test_sends_the_span_and_the_metrics_when_asked(doctor: Doctor, receiver: OtlpReceiver) -> None:
    report = doctor("--send", OTEL_SERVICE_NAME="shop")

    (span,) = [one for one in receiver.spans if one.name == "status.leader"]
    assert span.resource["service.name"] == "shop"
    assert "consul.client.operation.duration" in {one.name for one in receiver.metrics}
    assert f"look for trace {span.trace_id}" in "".join(one["text"] for one in report.findings)
    assert report.status == 0


def test_is_one_line_a_finding(doctor: Doctor) -> None:
    report = doctor(plain=True)

    lines = report.out.splitlines()
    assert lines[0].startswith("OK       A call would be seen")
    assert all(re.match(r"(BROKEN|PROBLEM|WARNING|OK) +\S.*[.]$", line) for line in lines), report.out


def test_libraries_and_the_launcher_are_named(doctor: Doctor) -> None:
    report = doctor()

    assert report.of("plugin.found")["level"] == "ok"
    assert "OTLPSpanExporter" in report.text("launcher.works")
    assert report.of("client.found")["level"] == "ok"
    assert "requests" in report.text("http.found")
