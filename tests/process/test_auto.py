"""`opentelemetry-instrument python app.py`: the program knows nothing, the environment says everything."""

from __future__ import annotations

import pytest

from testbed.otlp_receiver import OtlpReceiver
from testbed.stub_agent import StubAgent
from tests.process.conftest import CALL, OTHERS, Run

pytest.importorskip("consul")
pytest.importorskip("opentelemetry.distro")

QUIET = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


def test_the_command_of_the_readme_prints_one_span(run: Run, stub: StubAgent) -> None:
    done = run(
        "import consul; consul.Consul().kv.get('a')",
        auto=["--traces_exporter", "console"],
        env={"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
    )

    assert done.code == 0, done.err
    (span,) = done.spans
    assert span["name"] == "kv.get"
    assert span["kind"] == "SpanKind.CLIENT"
    assert span["parent_id"] is None
    assert span["status"] == {"status_code": "UNSET"}
    assert span["events"] == []
    attributes = span["attributes"]
    wanted = {
        "consul.operation": "kv.get",
        "url.template": "/v1/kv/{key}",
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": stub.port,
        "consul.kv.key": "a",
        "consul.deadline": "per_read",
        "consul.timeout.connect": 30.0,
        "consul.timeout.read": 30.0,
        "http.response.status_code": 200,
        "consul.outcome": "ok",
        "net.peer.name": "127.0.0.1",
        "net.peer.port": stub.port,
        "http.status_code": 200,
        "peer.service": "consul",
    }
    assert {name: attributes.get(name) for name in wanted} == wanted
    assert {name: type(attributes[name]) for name in wanted} == {name: type(value) for name, value in wanted.items()}
    assert type(attributes["consul.response.index"]) is int
    phases = {name: value for name, value in attributes.items() if name.startswith("consul.phase.")}
    assert all(type(seconds) is float and seconds > 0 for seconds in phases.values())
    measured = {"network.peer.address", "network.peer.port", "consul.connection.reused", "consul.response.index"}
    others = set(attributes) - set(wanted) - set(phases) - measured
    assert all(name.startswith("consul.local_delay.") for name in others), others


def test_environment_alone(run: Run) -> None:
    done = run(
        """
        import consul, os
        c = consul.Consul()
        c.kv.get("app/secret/a"); c.status.leader(); c.kv.get("app/a", index=1, wait="1s")
        """,
        auto=True,
        env={
            **QUIET,
            "OTEL_PYTHON_CONSUL_CAPTURE_KEYS": "prefix",
            "OTEL_PYTHON_CONSUL_EXCLUDED_OPERATIONS": "status.*, agent.*",
            "OTEL_PYTHON_CONSUL_BLOCKING_SPANS": "none",
            "OTEL_PYTHON_CONSUL_PHASES": "false",
            "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
        },
    )

    assert done.code == 0, done.err
    (span,) = done.spans
    attributes = span["attributes"]
    assert (span["name"], attributes["consul.kv.key"]) == ("kv.get", "app")
    assert not [name for name in attributes if name.startswith(("consul.phase.", "net.", "peer."))]
    assert "http.status_code" not in attributes


@pytest.mark.parametrize(
    ("opt_in", "old"),
    [
        ("", True),
        ("http", False),
        ("http/dup", True),
        ("database, http", False),
        ("database", True),
        ("http,http/dup", True),
    ],
)
def test_stability_opt_in_says_which_names(run: Run, opt_in: str, old: bool) -> None:
    done = run(CALL, auto=True, env={**QUIET, "OTEL_SEMCONV_STABILITY_OPT_IN": opt_in})

    (span,) = done.spans
    names = {"net.peer.name", "net.peer.port", "http.status_code", "peer.service"}
    assert names & set(span["attributes"]) == (names if old else set())
    assert {"server.address", "http.response.status_code"} <= set(span["attributes"])


def test_disabled_by_name(run: Run) -> None:
    done = run(CALL, auto=True, env={**QUIET, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": f"{OTHERS},consul"})

    assert (done.code, done.spans) == (0, [])
    assert "VALUE {" in done.out


def test_otlp_carries_traces_and_metrics(run: Run) -> None:
    with OtlpReceiver() as receiver:
        done = run(
            CALL,
            auto=True,
            env={
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_METRICS_EXPORTER": "otlp",
                "OTEL_LOGS_EXPORTER": "none",
                "OTEL_SERVICE_NAME": "shop",
            },
        )
        assert done.code == 0, done.err
        (span,) = [span for span in receiver.spans if span.scope.name == "otel_consul"]
        assert (span.name, span.resource["service.name"]) == ("kv.get", "shop")
        (duration,) = receiver.latest("consul.client.operation.duration")
        assert duration.histogram is not None
        assert duration.histogram.count == 1
        assert [exemplar.trace_id for exemplar in duration.exemplars] == [span.trace_id]
        (calls,) = receiver.latest("consul.client.operations")
        assert (calls.value, calls.is_monotonic) == (1, True)


@pytest.mark.parametrize("fault", ["503", "hang"])
def test_broken_exporter_disturbs_nobody(run: Run, fault: str) -> None:
    with OtlpReceiver() as receiver:
        receiver.hang() if fault == "hang" else receiver.answer(503)
        done = run(
            """
            import consul, time
            c = consul.Consul()
            start = time.perf_counter()
            values = {c.kv.get("a")[1]["Value"] for _ in range(50)}
            print("TOOK", time.perf_counter() - start, values)
            """,
            auto=True,
            env={
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
                "OTEL_BSP_SCHEDULE_DELAY": "10",
                "OTEL_METRIC_EXPORT_INTERVAL": "50",
                "OTEL_LOGS_EXPORTER": "none",
            },
        )
        assert done.code == 0, done.err
        assert receiver.raw, "the exporter never tried"
    (line,) = [line for line in done.out.splitlines() if line.startswith("TOOK")]
    assert "{b'1'}" in line
    assert float(line.split()[1]) < 5


def test_import_of_the_plugin_imports_no_client_library(run: Run) -> None:
    done = run(
        """
        import sys
        from otel_consul import ConsulInstrumentor
        ConsulInstrumentor().instrument()
        heavy = {"consul", "consulate", "requests", "urllib3", "aiohttp", "tornado", "twisted", "opentelemetry.sdk"}
        print(sorted(heavy & set(sys.modules)))
        """
    )

    assert done.out.strip() == "[]", done.err
