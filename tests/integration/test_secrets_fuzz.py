"""Marked secrets in every place that a secret can be, in random programs: none is exported, logged, dumped or reported."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import otel_consul
from otel_consul.in_flight import dump
from otel_consul.report import ReportExporter
from tests.clients.drivers import Driver
from tests.differential.agent import Answer, RecordingAgent
from tests.differential.programs import Step, run
from tests.differential.test_differential import DRIVERS, SOAK, operations
from tests.support.stalls import Logs
from tests.support.telemetry import Telemetry

SECRET = "S3CR3T"
NAMES_NO_SECRET = ("dc", "datacenter")
"""A data centre's name is exported."""
VALUES: list[Callable[[], Any]] = [
    lambda: SECRET,
    lambda: f"{SECRET}/a?token={SECRET}#{SECRET}",
    lambda: f"a/{SECRET}\r\nX-Consul-Token: {SECRET}",
    lambda: f"http://user:{SECRET}@127.0.0.1/{SECRET}",
    SECRET.encode,
    lambda: {SECRET: SECRET, "Token": SECRET, "Name": SECRET},
    lambda: [SECRET, {SECRET: [SECRET]}],
    lambda: f"\ud800{SECRET}",
    lambda: ValueError(SECRET),
    type(f"Class{SECRET}", (), {"__str__": lambda _: SECRET}),
    lambda: 5,
    lambda: "1s",
]
HEADERS = (
    ("Set-Cookie", f"session={SECRET}; Path=/"),
    ("Location", f"/v1/kv/{SECRET}?token={SECRET}"),
    ("X-Consul-Index", SECRET),
    ("X-Consul-ContentHash", SECRET),
    ("X-Cache", SECRET),
    ("X-Consul-Query-Backend", SECRET),
    ("X-Consul-Effective-Consistency", SECRET),
    ("X-Consul-Reason", SECRET),
    ("Content-Type", f"text/{SECRET}"),
)
BODIES = [
    f'{{"ID": "{SECRET}", "Value": "{SECRET}"}}',
    f'[{{"Key": "{SECRET}", "Value": "{SECRET}"}}]',
    f"rpc error: token {SECRET} not found: Permission denied",
    f"{SECRET} no json",
]
ANSWERS = st.builds(
    Answer,
    status=st.sampled_from([200, 200, 302, 307, 400, 403, 404, 500]),
    body=st.sampled_from([body.encode() for body in BODIES]),
    headers=st.lists(st.sampled_from(HEADERS), unique=True).map(tuple),
    fault=st.sampled_from(["", "", "", "hang_up", "truncate", "no_http"]),
)
PLACES: dict[str, dict[str, str]] = {
    "none": {},
    "proxy": {"HTTP_PROXY": f"http://user:{SECRET}@127.0.0.1:1", "http_proxy": f"http://user:{SECRET}@127.0.0.1:1"},
    "token": {"CONSUL_HTTP_TOKEN": SECRET, "CONSUL_TOKEN": SECRET},
    "certificates": {"REQUESTS_CA_BUNDLE": f"/{SECRET}.pem", "SSL_CERT_FILE": f"/{SECRET}.pem"},
}


def programs(known: dict[str, list[str]]) -> st.SearchStrategy[list[Step]]:
    def step(name: str) -> st.SearchStrategy[Step]:
        names = [one for one in known[name] if one not in NAMES_NO_SECRET]
        values = st.lists(st.sampled_from(VALUES), min_size=len(names), max_size=len(names))
        return st.tuples(values, st.integers(1, 4)).map(
            lambda drawn: Step(name, tuple(zip(names, drawn[0], strict=True))[: drawn[1]])
        )

    return st.lists(st.sampled_from(sorted(known)).flatmap(step), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def agent() -> Iterator[RecordingAgent]:
    with RecordingAgent() as agent:
        yield agent


class Exports:
    """All that can leave the process, as text."""

    def __init__(self) -> None:
        self.telemetry, self.logs, self.report, self.lines = Telemetry(), Logs(), io.StringIO(), io.StringIO()
        self.logs.provider = LoggerProvider(shutdown_on_exit=False)
        self.logs.provider.add_log_record_processor(self.logs)
        self.telemetry.tracer_provider.add_span_processor(SimpleSpanProcessor(ReportExporter(self.report)))
        self.handler = logging.StreamHandler(self.lines)
        logging.getLogger("otel_consul").addHandler(self.handler)
        self.open: list[str] = []
        self.telemetry.instrument(
            capture_keys="none", request_hook=self.look, stall_threshold=0.001, logger_provider=self.logs.provider
        )

    def look(self, span: Any, call: Any) -> None:
        calls = otel_consul.open_calls()
        self.open += [repr(calls), *(str(call.stack()) for call in calls), dump.report(calls)]

    def end(self) -> str:
        """Everything; the plugin is off afterwards."""
        self.telemetry.uninstrument()
        text = self.telemetry.text()
        self.telemetry.shutdown()
        logging.getLogger("otel_consul").removeHandler(self.handler)
        records = [str(record.body) + repr(record.attributes) for record in self.logs.records]
        return "\n".join([text, self.report.getvalue(), self.lines.getvalue(), *records, *self.open])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", DRIVERS, ids=lambda kind: kind.name)
@pytest.mark.timeout(60 + SOAK)
def test_no_secret_leaves(
    kind: type[Driver], place: str, agent: RecordingAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = operations(kind)
    for name, value in PLACES[place].items():
        monkeypatch.setenv(name, value)

    @settings(
        max_examples=SOAK or 6,
        derandomize=not SOAK,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(known), st.lists(ANSWERS, min_size=1, max_size=5))
    def nothing(program: list[Step], script: list[Answer]) -> None:
        agent.begin(script)
        exports, driver = Exports(), kind()
        try:
            run(driver, driver.make(agent.port, token=SECRET), program)
        finally:
            driver.shutdown()
            text = exports.end()
        assert SECRET not in text, text[max(0, text.find(SECRET) - 300) : text.find(SECRET) + 100]
        assert "otel_consul failed" not in text

    nothing()
