"""Agents that do not answer, are none, lead nobody or want a token; and the trial call there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.stub_agent import StubAgent, backlog_full_port, refused_port
from tests.doctor import servers
from tests.doctor.conftest import Doctor, Environment

TOKEN = "5ec7e7aa-0000-4000-8000-00000000t0ke"
CONSULS = ("consul", "py_consul-*", "python_consul*")


def test_refused_and_yet_seen(doctor: Doctor) -> None:
    port = refused_port()
    report = doctor(CONSUL_HTTP_ADDR=f"127.0.0.1:{port}")

    assert (report.status, report.first) == (0, "consul.refused")
    assert f"127.0.0.1:{port} (CONSUL_HTTP_ADDR)" in report.text("consul.refused")
    assert "ECONNREFUSED" in report.text("call.failed")
    assert report.of("call.failed")["facts"]["outcome"] == "error"


def test_the_default_address(doctor: Doctor) -> None:
    report = doctor(CONSUL_HTTP_ADDR=None)

    assert "127.0.0.1:8500 (the default)" in "".join(one["text"] for one in report.findings)


def test_the_name_is_unknown(doctor: Doctor) -> None:
    assert doctor(CONSUL_HTTP_ADDR="consul.invalid:8500").first == "consul.dns"


def test_no_connection_comes_about(doctor: Doctor) -> None:
    with backlog_full_port() as port:
        report = doctor("--timeout", "0.5", CONSUL_HTTP_ADDR=f"127.0.0.1:{port}")

    assert report.first == "consul.timeout"
    assert "call.hangs" in report.codes


def test_silence(doctor: Doctor, stub: StubAgent) -> None:
    stub.fault(stop="hang")
    report = doctor("--timeout", "0.5")

    assert (report.status, report.first) == (0, "consul.silent")
    assert "has had no answer for 500 ms" in report.text("call.hangs")


def test_an_address_that_is_none(doctor: Doctor) -> None:
    report = doctor(CONSUL_HTTP_ADDR="http://:port")

    assert (report.status, report.first) == (1, "consul.unreadable")
    assert "call.no_span" in report.codes  # the client cannot be made


def test_another_server(doctor: Doctor) -> None:
    with servers.answering(servers.HTML) as port:
        report = doctor(CONSUL_HTTP_ADDR=f"127.0.0.1:{port}")

    assert report.first == "consul.not_consul"


def test_no_leader(doctor: Doctor, stub: StubAgent) -> None:
    stub.fault("/v1/status/leader", body=b'""')

    assert doctor().first == "consul.no_leader"


def test_it_fails(doctor: Doctor, stub: StubAgent) -> None:
    stub.fault("/v1/status/leader", status=500, body=b"No cluster leader")
    report = doctor()

    assert report.first == "consul.no_leader"
    assert "500 No cluster leader" in report.text("call.failed")


def test_http_where_there_is_tls(doctor: Doctor) -> None:
    with StubAgent(tls=True) as agent:
        report = doctor(CONSUL_HTTP_ADDR=f"127.0.0.1:{agent.port}")

    assert report.first == "consul.wants_tls"


def test_https_where_there_is_no_tls(doctor: Doctor, stub: StubAgent) -> None:
    assert doctor(CONSUL_HTTP_ADDR=f"https://127.0.0.1:{stub.port}").first == "consul.not_tls"


def test_https_where_there_is_tls(doctor: Doctor) -> None:
    with StubAgent(tls=True) as agent:
        report = doctor(CONSUL_HTTP_ADDR=f"https://127.0.0.1:{agent.port}", REQUESTS_CA_BUNDLE=str(agent.ca_file))

    assert (report.status, report.first) == (0, "verdict.seen")
    assert "tls" in report.text("call.span")


def test_a_token_is_needed(doctor: Doctor, stub: StubAgent) -> None:
    stub.fault("/v1/agent/self", status=403, body=b"Permission denied")
    report = doctor()

    assert (report.status, report.first) == (0, "consul.needs_token")


def test_a_token_is_refused_and_never_shown(doctor: Doctor, stub: StubAgent) -> None:
    stub.fault("/v1/agent/self", status=403, body=b"ACL not found")
    report = doctor(CONSUL_HTTP_TOKEN=TOKEN)

    assert report.first == "consul.token_refused"
    assert TOKEN not in report.out + report.err
    assert stub.wait_for_requests(1, "/v1/agent/self")[0].headers["x-consul-token"] == TOKEN


def test_a_token_that_may_not_ask_for_the_version(doctor: Doctor, stub: StubAgent) -> None:
    stub.fault("/v1/agent/self", status=403, body=b"Permission denied")
    report = doctor(CONSUL_HTTP_TOKEN=TOKEN)

    assert report.first == "verdict.seen"
    assert "may not ask for its version" in report.text("consul.ok")


def test_no_version(doctor: Doctor, stub: StubAgent) -> None:
    stub.fault("/v1/agent/self", body=json.dumps({"Config": {"Version": "x" * 1000}}).encode())

    assert "does not say its version" in doctor().text("consul.ok")


@pytest.mark.parametrize("without", [CONSULS, ()], ids=["consulate", "py-consul"])
def test_no_deadline(doctor: Doctor, environment: Environment, without: tuple[str, ...]) -> None:
    """consulate's client has none unless it is told to; of py-consul 1.8 one has to take it away."""
    pytest.importorskip("consulate", exc_type=ImportError)
    if without:
        environment.link(*without)
    else:
        environment.link("py_consul-*").distribution("python-consul", "1.1.0").write(
            "later.pth", "import consul.std; consul.std.Consul.__init__.__kwdefaults__['connections_timeout'] = None\n"
        )

    report = doctor(python=environment.python)

    assert (report.status, report.first) == (0, "deadline.none"), report.out
    assert "To set one" in report.text("deadline.none")


MUTE = """
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider

get = MeterProvider.get_meter
MeterProvider.get_meter = lambda self, name, *rest, **more: (
    NoOpMeter(name) if name == "otel_consul" else get(self, name, *rest, **more)
)
"""


def test_no_metrics(doctor: Doctor, environment: Environment) -> None:
    environment.link().write("mute.py", MUTE).write("mute.pth", "import mute\n")

    report = doctor(python=environment.python)

    assert (report.status, report.first) == (0, "call.no_metrics")
    assert report.of("verdict.seen")["facts"]["signals"] == ["traces"]


def test_the_real_consul(doctor: Doctor, consul_agent: object) -> None:
    address = consul_agent.base_url  # type: ignore[attr-defined]
    report = doctor(CONSUL_HTTP_ADDR=address.removeprefix("http://"))

    assert report.first == "verdict.seen"
    assert report.text("consul.ok").startswith("Consul 1.")


def test_the_real_consul_with_acls(doctor: Doctor, consul_acl_agent: object, tmp_path: Path) -> None:
    address = consul_acl_agent.base_url.removeprefix("http://")  # type: ignore[attr-defined]
    token = consul_acl_agent.token  # type: ignore[attr-defined]

    assert doctor(CONSUL_HTTP_ADDR=address).first == "consul.needs_token"
    assert doctor(CONSUL_HTTP_ADDR=address, CONSUL_HTTP_TOKEN=TOKEN).first == "consul.token_refused"
    report = doctor(CONSUL_HTTP_ADDR=address, CONSUL_HTTP_TOKEN=token)
    assert report.first == "verdict.seen"
    assert token not in report.out + report.err
