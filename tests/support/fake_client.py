"""A client library of a test's own, observed as a real one is: for what must not depend on any library installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from opentelemetry.trace import Tracer

from otel_consul.call.recorder import Recorder
from otel_consul.call.shared import Shared
from otel_consul.clients.client import Client
from otel_consul.clients.seam import Seam
from otel_consul.deadlines import timeouts
from otel_consul.metrics.instruments import Instruments
from otel_consul.settings import Settings
from tests.support.telemetry import Telemetry


class Response(NamedTuple):
    """What a transport gives its callback."""

    code: int
    headers: Mapping[str, str]
    body: Any


OK = Response(200, {"X-Consul-Index": "7"}, "[]")
CLIENT = Client(
    name="fake",
    distributions=("fake",),
    module="fake",
    owner="Consul",
    attribute="http",
    calls_back=True,
    read=lambda http, args, kwargs: ("http://127.0.0.1:8500", args[1], args[2] if len(args) > 2 else None),
    answer=lambda response: (response.code, response.headers, response.body),
)


class Transport:
    """A transport whose every verb does `work()` and calls back with its result."""

    def __init__(self, work: Callable[[], Any] = lambda: OK) -> None:
        self.work = work

    def get(self, callback: Any, path: str, params: Any = None) -> Any:
        return callback(self.work())

    put = post = delete = get


class AsyncTransport(Transport):
    """As `Transport`, for coroutines."""

    async def get(self, callback: Any, path: str, params: Any = None) -> Any:
        return callback(await self.work())

    put = post = delete = get


class Observed:
    """The fake library, observed."""

    def __init__(self, recorder: Recorder, seam: Seam, owner: type) -> None:
        self.recorder = recorder
        self.seam = seam
        self.owner = owner

    def client(self, work: Callable[[], Any] = lambda: OK, *, lazy: bool = False) -> Any:
        """A client whose calls do `work`."""
        client = self.owner()
        client.http = (AsyncTransport if lazy else Transport)(work)
        return client


def value_of(response: Response) -> Any:
    """A callback that hands the body on."""
    return response.body


@contextmanager
def observed(telemetry: Telemetry, tracer: Tracer | None = None, **settings: Any) -> Iterator[Observed]:
    """Observe a fresh fake library with these settings."""
    owner = type("Consul", (), {"__module__": "fake"})
    instruments = Instruments(telemetry.meter_provider.get_meter("otel_consul"))
    tracer = tracer or telemetry.tracer_provider.get_tracer("otel_consul")
    recorder = Recorder(Shared(Settings.build(settings, {}), tracer, instruments, old_names=False))
    instruments.totals = recorder.shared.totals
    seam = Seam(CLIENT, recorder.observer(CLIENT), recorder.transport_of)
    timeouts.apply()
    seam.apply(owner)
    try:
        yield Observed(recorder, seam, owner)
    finally:
        seam.remove()
        recorder.stop()
        timeouts.remove()
