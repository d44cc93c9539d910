"""Time-outs as the transport really has them, and transports nobody has heard of."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from otel_consul import semconv
from otel_consul.metrics import definitions
from otel_consul.semconv import Deadline, Outcome
from otel_consul.transports import patroni, requests, tornado, twisted, urllib3
from otel_consul.transports.limits import UNKNOWN, limits
from tests.support.fake_client import OK, AsyncTransport, Response, observed, value_of
from tests.support.stalls import eventually
from tests.support.telemetry import Telemetry

NONE = limits(None, None, None)


@pytest.mark.parametrize(
    ("connect", "read", "total", "deadline", "attributes"),
    [
        (None, None, None, Deadline.NONE, {}),
        (5, None, None, Deadline.NONE, {semconv.TIMEOUT_CONNECT: 5.0}),
        (5, 7, None, Deadline.PER_READ, {semconv.TIMEOUT_CONNECT: 5.0, semconv.TIMEOUT_READ: 7.0}),
        (None, 7, 9, Deadline.TOTAL, {semconv.TIMEOUT_READ: 7.0, semconv.TIMEOUT_TOTAL: 9.0}),
    ],
)
def test_deadline_is_what_stops_a_call(connect: Any, read: Any, total: Any, deadline: str, attributes: Any) -> None:
    found = limits(connect, read, total)

    assert found.deadline == deadline
    assert found.attributes == {semconv.DEADLINE: deadline, **attributes}
    assert all(type(found.attributes[name]) is float for name in attributes)
    assert limits(connect, read, total) is found


def session(**own: Any) -> Any:
    library = pytest.importorskip("requests")
    made = library.Session()
    if own:

        class Adapter(library.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            send = own["send"]

        made.mount("http://", Adapter())
    return made


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (None, NONE),
        (3, limits(3, 3, None)),
        ((2, 8), limits(2, 8, None)),
        ((2, None), limits(2, None, None)),
        (lambda params: 30 if params is None else 50, limits(30, 30, None)),
        (lambda params: None, NONE),
    ],
)
def test_requests(timeout: Any, expected: Any) -> None:
    http = SimpleNamespace(session=session(), timeout=timeout)
    assert requests.TRANSPORT.limits(http, None, {}) is expected


def test_requests_with_an_adapter_of_the_users_own() -> None:
    http = SimpleNamespace(session=session(send=lambda *_: None))
    assert requests.TRANSPORT.limits(http, None, {}) is UNKNOWN


def test_urllib3() -> None:
    library = pytest.importorskip("urllib3")
    cases = (
        ({"timeout": 3.0}, limits(3, 3, None)),
        ({"timeout": library.Timeout(connect=2.0, read=8.0)}, limits(2, 8, None)),
        ({"timeout": library.Timeout(total=5.0)}, limits(5, 5, None)),
        ({"timeout": None}, NONE),
    )
    for options, expected in cases:
        http = SimpleNamespace(http=library.PoolManager(**options))
        assert urllib3.TRANSPORT.owns(http)
        assert urllib3.TRANSPORT.limits(http, None, {}) is expected
    assert urllib3.TRANSPORT.limits(SimpleNamespace(http=5), None, {}) is UNKNOWN


@pytest.mark.parametrize(
    ("params", "seconds"),
    [
        (None, 3.3),
        ([("dc", "x")], 3.3),
        ([("index", 5), ("wait", "30s")], 32.0),
        ([("index", 5), ("wait", "3.5s")], 4.5),
        ([("index", 5)], 320.0),
    ],
)
def test_patroni(params: Any, seconds: float) -> None:
    http = SimpleNamespace(_read_timeout=3.3)
    assert patroni.TRANSPORT.limits(http, params, {}) is limits(seconds, seconds, None)


def test_tornado_and_twisted() -> None:
    client = SimpleNamespace(defaults={"connect_timeout": 20.0, "request_timeout": 20.0})
    assert tornado.TRANSPORT.limits(SimpleNamespace(client=client), None, {}) is limits(20, None, 20)
    assert tornado.TRANSPORT.limits(SimpleNamespace(), None, {}) is UNKNOWN
    assert twisted.TRANSPORT.limits(SimpleNamespace(), None, {}) is limits(30, None, None)


# --- transports of the user's own ---------------------------------------------------------------------------------


class Handing:
    """Every verb hands out what it was given."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def get(self, callback: Any, path: str, params: Any = None) -> Any:
        return self.make(callback)


def ended(telemetry: Telemetry, calls: int = 1) -> dict[str, Any]:
    assert telemetry.total(definitions.ACTIVE.name) == 0
    assert telemetry.total(definitions.OPERATIONS.name) == telemetry.total(definitions.DURATION.name) == calls
    assert len(telemetry.spans) == calls
    return dict(telemetry.spans[-1].attributes or {})


def test_function_that_gives_a_coroutine_is_found_out(telemetry: Telemetry) -> None:
    async def answer(callback: Any) -> Any:
        await asyncio.sleep(0)
        return callback(OK)

    async def use(client: Any) -> Any:
        never = client.http.get(value_of, "/v1/kv/a")  # the first: nobody can know yet
        assert asyncio.iscoroutine(never)
        never.close()
        return await client.http.get(value_of, "/v1/kv/a"), await client.http.get(value_of, "/v1/kv/a")

    with observed(telemetry) as library:
        client = library.client()
        client.http = Handing(answer)
        assert asyncio.run(use(client)) == ("[]", "[]")
        assert ended(telemetry, 2)[semconv.OUTCOME] == Outcome.OK
        assert semconv.DEADLINE not in (telemetry.spans[0].attributes or {})


@pytest.mark.parametrize("end", ["close", "cancel", "drop"])
def test_coroutine_that_never_starts_warns_as_without_us(
    end: str, telemetry: Telemetry, recwarn: pytest.WarningsRecorder
) -> None:
    async def use(client: Any) -> None:
        coroutine = client.http.get(value_of, "/v1/kv/a")
        if end == "close":
            coroutine.close()
        elif end == "cancel":
            task = asyncio.ensure_future(coroutine)
            task.cancel()
            await asyncio.wait([task])

    async def work() -> Any:
        return OK

    gc.collect()  # what other tests have left may warn too
    recwarn.clear()
    asyncio.run(use(SimpleNamespace(http=AsyncTransport(work))))
    gc.collect()
    without = [str(warning.message) for warning in recwarn]
    recwarn.clear()
    with observed(telemetry) as library:
        asyncio.run(use(library.client(work, lazy=True)))
        gc.collect()
        assert [str(warning.message) for warning in recwarn] == without
        assert len(without) == (end == "drop")
        assert telemetry.spans == []
        assert telemetry.total(definitions.OPERATIONS.name) == 0


@pytest.mark.parametrize("end", ["value", "exception", "cancel"])
def test_future_is_the_same_and_ends_the_call(end: str, telemetry: Telemetry) -> None:
    async def use(client: Any, future: Any) -> None:
        assert client.http.get(value_of, "/v1/kv/a") is future
        assert telemetry.total(definitions.ACTIVE.name) == 1
        if end == "value":
            future.set_result("value")
        elif end == "exception":
            future.set_exception(ConnectionResetError())
        else:
            future.cancel()
        await asyncio.wait([future])
        future.cancelled() or future.exception()

    async def run(client: Any) -> None:
        future = asyncio.get_running_loop().create_future()
        client.http = Handing(lambda _: future)
        await use(client, future)

    with observed(telemetry) as library:
        asyncio.run(run(library.client()))
        outcomes = {"value": Outcome.OK, "exception": Outcome.ERROR, "cancel": Outcome.CANCELLED}
        assert ended(telemetry)[semconv.OUTCOME] == outcomes[end]


class ForeignFuture:
    """A future of no library we know: only the public methods."""

    def __init__(self, exc: BaseException | None) -> None:
        self.exc = exc
        self.callbacks: list[Any] = []

    def add_done_callback(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        if self.exc is not None:
            raise self.exc
        return "value"

    def resolve(self) -> None:
        for callback in self.callbacks:
            callback(self)


@pytest.mark.parametrize("exc", [None, ConnectionResetError(), TimeoutError()])
def test_future_of_a_strangers_own(exc: BaseException | None, telemetry: Telemetry) -> None:
    future = ForeignFuture(exc)
    with observed(telemetry) as library:
        client = library.client()
        client.http = Handing(lambda _: future)
        assert client.http.get(value_of, "/v1/kv/a") is future
        future.resolve()
        outcome = {type(None): Outcome.OK, ConnectionResetError: Outcome.ERROR, TimeoutError: Outcome.TIMEOUT}[
            type(exc)
        ]
        assert ended(telemetry)[semconv.OUTCOME] == outcome


def test_dropped_future_is_abandoned(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        client.http = Handing(lambda _: ForeignFuture(None))
        client.http.get(value_of, "/v1/kv/a")
        gc.collect()
        eventually(lambda: telemetry.spans)  # the background thread ends it
        assert ended(telemetry)[semconv.OUTCOME] == Outcome.ABANDONED


def test_value_that_only_looks_like_something(telemetry: Telemetry) -> None:
    """A transport that decodes its own way may give any value."""
    with observed(telemetry) as library:
        client = library.client(lambda: Response(200, {}, {"addBoth": 1}))
        assert client.http.get(value_of, "/v1/kv/a") == {"addBoth": 1}
        assert ended(telemetry)[semconv.OUTCOME] == Outcome.OK
