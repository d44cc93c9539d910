"""What demo/release.py runs in: a real Consul, an overloaded agent far away, a silent one; and how it is started."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed import consul
from testbed.processes import Process
from testbed.stub_agent import StubAgent
from testbed.tcp_proxy import TcpProxy

PROGRAM = Path(__file__).with_name("release.py")
SERVICE = "checkout"
OLD, NEW = "1.0.0", "1.1.0"

# What the far agent does wrong, in seconds.
STOCK_DELAY = 0.4
SESSIONS_DELAY = 0.15
COUPONS_DELAY = 0.3
LATE = 2.0
LAST_CONTACT = 5.0


@dataclass(frozen=True)
class Surroundings:
    """Where the program finds what it uses: `host:port` each."""

    near: str
    far: str
    backup: str
    near_is: str
    """What `near` is, in words."""


@contextmanager
def surroundings(near: str = "", *, real: bool = False) -> Iterator[Surroundings]:
    """Start what is needed. `near` is a Consul that runs already; `real` makes it an error that none can be had."""
    with ExitStack() as stack:
        name = "the Consul you named"
        if not near:
            try:
                near = f"127.0.0.1:{stack.enter_context(consul.agent()).port}"
                name = "Consul {}.{}".format(*consul.version())
            except consul.Unavailable:
                if real:
                    raise
                near = f"127.0.0.1:{stack.enter_context(StubAgent()).port}"
                name = "a stand-in for Consul"
        far = stack.enter_context(StubAgent())
        stack.enter_context(_overloaded(far))
        firewall = stack.enter_context(TcpProxy(far.port))
        firewall.freeze()
        yield Surroundings(near, f"127.0.0.1:{far.port}", f"127.0.0.1:{firewall.port}", name)


@contextmanager
def _overloaded(agent: StubAgent) -> Iterator[None]:
    agent.fault("/v1/health/service/stock", delay=STOCK_DELAY)
    agent.fault("/v1/health/service/payments", delay=LATE)
    agent.fault("/v1/session/list", delay=SESSIONS_DELAY)
    agent.fault("/v1/kv/coupons/*", delay=COUPONS_DELAY)
    agent.fault("/v1/kv/archive/*", status=503)
    agent.fault("/v1/kv/rates/*", known_leader=False, last_contact=int(LAST_CONTACT * 1000))
    agent.fault("/v1/catalog/service/billing", redirect="/v1/catalog/service/billing-eu")
    ended = threading.Event()

    def hiccup() -> None:
        while not ended.wait(2.0):
            one = agent.fault("/v1/catalog/service/billing-eu", times=1, status=500)
            ended.wait(2.0)
            agent.faults.release(one.number)
            agent.forget_requests()

    thread = threading.Thread(target=hiccup, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def metrics_to(url: str) -> dict[str, str]:
    """The environment of a program that sends metrics, and nothing else, to this address every second."""
    return {
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": url,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }


@contextmanager
def running(release: str, place: Surroundings, telemetry: Mapping[str, str]) -> Iterator[Process]:
    """One process of a release, under `opentelemetry-instrument`: nothing but environment variables is added to it."""
    variables = {
        "CONSUL_HTTP_ADDR": place.near,
        "CHECKOUT_FAR": place.far,
        "CHECKOUT_BACKUP": place.backup,
        "CHECKOUT_RELEASE": release,
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_RESOURCE_ATTRIBUTES": f"service.version={release}",
        # Of the process, not of the machine.
        "OTEL_PYTHON_SYSTEM_METRICS_EXCLUDED_METRICS": "system.*,process.runtime.*",
        **telemetry,
    }
    instrument = Path(sys.executable).parent / "opentelemetry-instrument"
    command = ["env", *(f"{name}={value}" for name, value in variables.items()), str(instrument), sys.executable]
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        process = Process([*command, str(PROGRAM)], Path(folder) / "output")
        try:
            yield process
        finally:
            process.kill()


def own_telemetry() -> dict[str, str]:
    """What the environment says already, for a program in a container: everything by OTLP."""
    exporters = dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "otlp")
    return {name: os.environ.get(name, value) for name, value in exporters.items()}
