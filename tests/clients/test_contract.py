"""What every client gets, whatever its transport and style: one honest span and one duration point per call.

Each test is written once and runs for each driver. "As without the plugin" is shown by doing the same thing twice,
first bare and then instrumented.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import logging
import os
import re
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from otel_consul import semconv
from otel_consul.metrics import definitions
from otel_consul.semconv import Outcome
from testbed.stub_agent import StubAgent, backlog_full_port, refused_port
from tests.clients.drivers import Asyncio, Driver, Twisted
from tests.support.telemetry import Telemetry, events

TOKEN = "5ec7e7-t0ken"
VALUE = "5ec7e7-value"
LIMIT = 0.3
"""A time-out that a test waits for."""


@pytest.fixture
def kv(stub: StubAgent) -> StubAgent:
    """The stub with a key to find."""
    stub.put("app/a", VALUE)
    return stub


# --- one call, every outcome --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A way for `kv.get` to end, and what its span says."""

    name: str
    fault: dict[str, Any] = field(default_factory=dict)
    key: str = "app/a"
    refused: bool = False
    outcome: str = Outcome.ERROR
    status: int | None = None

    def __str__(self) -> str:
        return self.name


CASES = (
    Case("ok", outcome=Outcome.OK, status=200),
    Case("missing", key="app/none", outcome=Outcome.NOT_FOUND, status=404),
    Case("500", {"status": 500, "body": b"No cluster leader"}, status=500),
    Case("503", {"status": 503, "body": b"busy"}, status=503),
    Case("403", {"status": 403, "body": b"Permission denied"}, status=403),
    Case("400", {"status": 400, "body": b"Bad request"}, status=400),
    Case("refused", refused=True),
    Case("closed", {"stop": "close"}),
    Case("reset", {"stop": "reset"}),
    Case("half-body", {"stop": "close", "stop_after": "half"}),
    Case("bad-json", {"body": b'[{"Key": '}, status=200),
)


def do(driver: Driver, case: Case, stub: StubAgent, port: int) -> Any:
    """The case, once, on a client of its own; what the caller got."""
    client = driver.make(port, token=TOKEN)
    if case.fault:
        stub.fault("/v1/kv/*", **case.fault)
    try:
        return driver.outcome(client, "kv.get", case.key)
    finally:
        stub.heal()
        driver.close(client)


def same(one: Any, other: Any) -> bool:
    """Whether two runs gave their caller the same: values, or exceptions of the same type and text."""
    if isinstance(one, BaseException) or isinstance(other, BaseException):
        return described(one) == described(other)
    return bool(one == other)


def described(value: Any) -> Any:
    """An exception with all that is chained to it, less addresses in memory."""
    if not isinstance(value, BaseException):
        return value
    text = re.sub(r"0x[0-9a-f]+", "0x", str(value))
    return type(value), text, described(value.__cause__), value.__suppress_context__, described(value.__context__)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_call_ends_as_without_the_plugin_and_its_span_says_how(
    driver: Driver, case: Case, kv: StubAgent, telemetry: Telemetry
) -> None:
    port = refused_port() if case.refused else kv.port
    bare = do(driver, case, kv, port)
    requests = len(kv.requests)

    telemetry.instrument()
    given = do(driver, case, kv, port)

    assert same(bare, given)
    assert len(kv.requests) == 2 * requests
    span = telemetry.span
    attributes = dict(span.attributes or {})
    outcome, statuses = expected(driver, case, given)
    status = attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE)
    assert attributes[semconv.OUTCOME] == outcome
    assert status in statuses
    if outcome == Outcome.ERROR:
        assert span.status.status_code is StatusCode.ERROR
        # Patroni hides the status of an answer from its spans; what failed the call is that answer all the same.
        assert attributes[semconv.ERROR_TYPE] in error_types(given, case.status if status is None else status)
        if status is not None and status >= 400:
            assert attributes[semconv.ERROR_TYPE] == str(status), "what failed it is the answer"
    else:
        assert span.status.status_code is StatusCode.UNSET
        assert semconv.ERROR_TYPE not in attributes
    assert set(events(span)) <= {semconv.EVENT_RETRY}
    if semconv.EVENT_RETRY in events(span):  # aiohttp tries a GET again when its connection breaks
        assert requests == 1 + attributes[semconv.HTTP_REQUEST_RESEND_COUNT]
    assert_counted(telemetry, 1)
    ((point, _),) = telemetry.points(definitions.DURATION.name)
    wanted = {
        semconv.OPERATION: "kv.get",
        semconv.OUTCOME: outcome,
        semconv.BLOCKING: False,
        semconv.SERVER_ADDRESS: "127.0.0.1",
        semconv.SERVER_PORT: port,
    }
    if outcome == Outcome.ERROR:
        wanted[semconv.ERROR_TYPE] = attributes[semconv.ERROR_TYPE]
    assert point == wanted


def expected(driver: Driver, case: Case, given: Any) -> tuple[str, set[Any]]:
    """The outcome, and what the status may be: what a client does not look at, or hides, is the exception."""
    if case.name == "bad-json" and not isinstance(given, BaseException):
        return Outcome.OK, {200}  # consulate gives the text as it is
    if case.name == "half-body":
        # urllib3 1.26 under requests takes half a body for a body: bad JSON to py-consul, a value to consulate.
        return (Outcome.ERROR if isinstance(given, BaseException) else Outcome.OK), {None, 200}
    if case.status in driver.hides:
        return case.outcome, {None, case.status}
    return case.outcome, {case.status}


def error_types(given: Any, status: Any) -> set[str]:
    """What a useful `error.type` may be."""
    allowed = {str(status)} if status is not None and status >= 400 else set()
    if isinstance(given, BaseException):
        # Tornado and twisted hide what really happened behind a general exception; naming the hidden one is better.
        seen: BaseException | None = given
        while seen is not None:
            allowed |= {qualified(kind) for kind in type(seen).__mro__[:-1]}
            seen = seen.__cause__ or seen.__context__
    return allowed


def qualified(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def assert_counted(telemetry: Telemetry, calls: int) -> None:
    """Spans, durations and started calls agree, and none is open."""
    assert len(telemetry.spans) == calls
    assert telemetry.total(definitions.DURATION.name) == calls
    assert telemetry.total(definitions.OPERATIONS.name) == calls
    assert telemetry.total(definitions.ACTIVE.name) == 0


def test_span_carries_the_contract(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    driver.call(driver.make(kv.port), "kv.get", "app/a")

    span = instrumented.span
    attributes = dict(span.attributes or {})
    assert span.name == "kv.get"
    assert span.kind is SpanKind.CLIENT
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == semconv.SCOPE_NAME
    assert span.instrumentation_scope.schema_url
    fixed = {
        semconv.OPERATION: "kv.get",
        semconv.URL_TEMPLATE: "/v1/kv/{key}",
        semconv.HTTP_REQUEST_METHOD: "GET",
        semconv.SERVER_ADDRESS: "127.0.0.1",
        semconv.SERVER_PORT: kv.port,
        semconv.KV_KEY: "app/a",
        semconv.OUTCOME: Outcome.OK,
        semconv.HTTP_RESPONSE_STATUS_CODE: 200,
        semconv.OLD_SERVER_ADDRESS: "127.0.0.1",
        semconv.OLD_SERVER_PORT: kv.port,
        semconv.OLD_STATUS_CODE: 200,
        semconv.OLD_PEER_SERVICE: "consul",
    }
    assert {name: attributes.get(name) for name in fixed} == fixed
    assert attributes[semconv.RESPONSE_INDEX] > 0
    for default in (
        semconv.MODE,
        semconv.BLOCKING,
        semconv.CONSISTENCY,
        semconv.RESPONSE_KNOWN_LEADER,
        semconv.ERROR_TYPE,
    ):
        assert default not in attributes
    if driver.deadline is not None:
        assert attributes[semconv.DEADLINE] == driver.deadline


def test_operations_of_other_endpoints_are_named(driver: Driver, stub: StubAgent, instrumented: Telemetry) -> None:
    client = driver.make(stub.port)

    driver.call(client, "status.leader")
    driver.call(client, "catalog.nodes")

    assert [span.name for span in instrumented.spans] == ["status.leader", "catalog.nodes"]


def test_phases_partition_the_duration(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    kv.fault("/v1/kv/*", delay=0.1)

    driver.call(driver.make(kv.port), "kv.get", "app/a")

    span = instrumented.span
    phases = {k: float(v) for k, v in (span.attributes or {}).items() if k.startswith(semconv.PHASE_PREFIX)}  # type: ignore[arg-type]
    duration = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    assert set(phases) <= set(semconv.PHASE_ATTRIBUTES)
    if phases:  # a transport of the user's own tells nothing
        assert sum(phases.values()) == pytest.approx(duration, rel=0.01, abs=0.001)


def test_blocking_query_says_how_long_it_asked_for(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    if not driver.blocking:
        pytest.skip("this client has no blocking queries")
    client = driver.make(kv.port)
    index, _ = driver.call(client, "kv.get", "app/a")
    instrumented.clear()

    driver.call(client, "kv.get", "app/a", index=index, wait="0.2s")

    attributes = dict(instrumented.span.attributes or {})
    assert attributes[semconv.BLOCKING] is True
    assert attributes[semconv.WAIT] == pytest.approx(0.2)
    assert attributes[semconv.WAKEUP] == semconv.Wakeup.EXPIRED
    assert instrumented.total(definitions.DURATION.name, **{semconv.BLOCKING: True}) == 1


# --- time-outs and cancellation -------------------------------------------------------------------------------------


def test_read_timeout_is_a_timeout(driver: Driver, kv: StubAgent, telemetry: Telemetry) -> None:
    if not driver.has_timeout:
        pytest.skip("no time-out can be set on this client")
    kv.fault("/v1/kv/*", stop="hang")
    bare = driver.outcome(driver.make(kv.port, timeout=LIMIT), "kv.get", "app/a")

    telemetry.instrument()
    given = driver.outcome(driver.make(kv.port, timeout=LIMIT), "kv.get", "app/a")

    assert isinstance(given, Exception)
    assert same(bare, given)
    span = telemetry.span
    attributes = dict(span.attributes or {})
    assert attributes[semconv.OUTCOME] == Outcome.TIMEOUT
    assert attributes[semconv.ERROR_TYPE] in error_types(given, None)
    assert span.status.status_code is StatusCode.ERROR
    assert attributes[semconv.DEADLINE] == driver.timeout_deadline
    total = driver.timeout_deadline == semconv.Deadline.TOTAL
    assert attributes[semconv.TIMEOUT_TOTAL if total else semconv.TIMEOUT_READ] == pytest.approx(LIMIT)
    event = events(span)[semconv.EVENT_TIMEOUT]
    assert event[semconv.TIMEOUT_KIND] == (semconv.TimeoutKind.TOTAL if total else semconv.TimeoutKind.READ)
    assert event[semconv.ELAPSED] == pytest.approx(LIMIT, abs=0.2)
    assert_counted(telemetry, 1)


def test_connect_timeout_is_a_timeout(driver: Driver, instrumented: Telemetry) -> None:
    if not driver.has_timeout:
        pytest.skip("no time-out can be set on this client")
    with backlog_full_port() as port:
        given = driver.outcome(driver.make(port, timeout=LIMIT), "kv.get", "app/a")

    assert isinstance(given, Exception)
    span = instrumented.span
    assert (span.attributes or {})[semconv.OUTCOME] == Outcome.TIMEOUT
    assert span.status.status_code is StatusCode.ERROR
    kinds = {semconv.TimeoutKind.CONNECT}
    if driver.timeout_deadline == semconv.Deadline.TOTAL:
        kinds.add(semconv.TimeoutKind.TOTAL)
    assert events(span)[semconv.EVENT_TIMEOUT][semconv.TIMEOUT_KIND] in kinds
    assert_counted(instrumented, 1)


def test_dripping_answer_outlives_a_deadline_per_read_only(
    driver: Driver, kv: StubAgent, instrumented: Telemetry
) -> None:
    if not driver.has_timeout:
        pytest.skip("no time-out can be set on this client")
    kv.fault("/v1/kv/*", drip_bytes=8, drip_every=LIMIT / 6)

    given = driver.outcome(driver.make(kv.port, timeout=LIMIT), "kv.get", "app/a")

    attributes = dict(instrumented.span.attributes or {})
    if attributes[semconv.DEADLINE] == semconv.Deadline.PER_READ:
        assert not isinstance(given, BaseException)
        assert attributes[semconv.OUTCOME] == Outcome.OK
        span = instrumented.span
        assert ((span.end_time or 0) - (span.start_time or 0)) / 1e9 > LIMIT
    else:
        assert isinstance(given, BaseException)
        assert attributes[semconv.OUTCOME] == Outcome.TIMEOUT


@pytest.mark.styles("asyncio", "tornado", "twisted")
def test_cancelled_call_is_cancelled(driver: Any, kv: StubAgent, telemetry: Telemetry) -> None:
    def cancel() -> Any:
        client = driver.make(kv.port)
        hang = kv.fault("/v1/kv/*", stop="hang")
        given = driver.cancelled(lambda: client.kv.get("app/a"), lambda: hang.hits > 0)
        kv.heal()
        return given

    bare = cancel()
    telemetry.instrument()
    given = cancel()

    assert same(bare, given)
    wait_until(lambda: len(telemetry.spans) == 1)
    span = telemetry.span
    assert (span.attributes or {})[semconv.OUTCOME] == Outcome.CANCELLED
    assert span.status.status_code is StatusCode.UNSET
    event = events(span)[semconv.EVENT_CANCELLED]
    assert event[semconv.CANCEL_REASON] in {semconv.CancelReason.CALLER, semconv.CancelReason.UNKNOWN}
    assert event[semconv.ELAPSED] > 0
    assert_counted(telemetry, 1)
    assert telemetry.total(definitions.DURATION.name, **{semconv.OUTCOME: Outcome.CANCELLED}) == 1


@pytest.mark.styles("asyncio")
@pytest.mark.parametrize("how", ["wait_for", "timeout"])
def test_expired_deadline_is_told_from_a_cancel_or_called_unknown(
    driver: Asyncio, how: str, kv: StubAgent, instrumented: Telemetry
) -> None:
    if how == "timeout" and sys.version_info < (3, 11):
        pytest.skip("asyncio.timeout came with 3.11")
    client = driver.make(kv.port)
    kv.fault("/v1/kv/*", stop="hang")

    given = driver.expired(lambda: client.kv.get("app/a"), LIMIT, how)

    assert type(given).__name__ == "TimeoutError"
    span = instrumented.span
    attributes = dict(span.attributes or {})
    if attributes[semconv.OUTCOME] == Outcome.TIMEOUT:
        assert attributes[semconv.ERROR_TYPE] == "TimeoutError"
        assert events(span)[semconv.EVENT_TIMEOUT][semconv.TIMEOUT_KIND] == semconv.TimeoutKind.DEADLINE
        assert span.status.status_code is StatusCode.ERROR
    else:
        assert attributes[semconv.OUTCOME] == Outcome.CANCELLED
        assert events(span)[semconv.EVENT_CANCELLED][semconv.CANCEL_REASON] == semconv.CancelReason.UNKNOWN
    assert_counted(instrumented, 1)


@pytest.mark.styles("asyncio")
def test_coroutine_never_awaited_leaves_nothing(driver: Asyncio, kv: StubAgent, instrumented: Telemetry) -> None:
    client = driver.make(kv.port)

    async def forget() -> None:
        client.kv.get("app/a")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # never awaited: that is the point
        driver.loop.run_until_complete(forget())
        gc.collect()

    assert kv.requests == []
    assert_counted(instrumented, 0)


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """For what another thread does a moment later."""
    done = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        done.wait(0.01)


# --- the caller's side ---------------------------------------------------------------------------------------------


class Sentinel:
    """A value nobody else can make."""


def test_value_is_the_same_object(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    if driver.name.startswith("consulate"):
        pytest.skip("its calls take no callback; see test_consulate.py")
    client, sentinel = driver.make(kv.port), Sentinel()

    assert driver.through_seam(client, lambda _: sentinel, "/v1/kv/app/a") is sentinel
    assert_counted(instrumented, 1)


def test_exception_is_the_same_object(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    if driver.name.startswith("consulate"):
        pytest.skip("its calls take no callback; see test_consulate.py")
    client, prepared = driver.make(kv.port), ValueError("prepared")

    def fail(_: Any) -> Any:
        raise prepared

    with pytest.raises(ValueError, match="prepared") as caught:
        driver.through_seam(client, fail, "/v1/kv/app/a")

    assert caught.value is prepared
    assert prepared.__cause__ is None
    assert prepared.__context__ is None
    assert (instrumented.span.attributes or {})[semconv.ERROR_TYPE] == "ValueError"
    assert_counted(instrumented, 1)


def test_callback_gets_the_transports_own_response(driver: Driver, kv: StubAgent, telemetry: Telemetry) -> None:
    if driver.name.startswith("consulate"):
        pytest.skip("its calls take no callback")
    client = driver.make(kv.port)
    bare = driver.through_seam(client, lambda response: response, "/v1/kv/app/a")

    telemetry.instrument()
    given = driver.through_seam(client, lambda response: response, "/v1/kv/app/a")

    assert type(given) is type(bare)
    assert (given.code, given.body) == (bare.code, bare.body)


def test_span_is_current_during_the_call_and_not_after(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    if driver.name.startswith("consulate"):
        pytest.skip("its calls take no callback")
    client = driver.make(kv.port)
    tracer = instrumented.tracer_provider.get_tracer("test")
    during: list[Any] = []
    after: list[Any] = []

    def observe(_: Any) -> None:
        during.append(trace.get_current_span().get_span_context())

    @contextlib.contextmanager
    def parent() -> Iterator[None]:
        with tracer.start_as_current_span("parent"):
            yield
            after.append(trace.get_current_span().get_span_context())

    driver.run(within(driver, parent, lambda: client.http.get(observe, "/v1/kv/app/a")))

    span = instrumented.span
    (outer,) = [s for s in instrumented.all_spans if s.name == "parent"]
    assert span.parent is not None
    assert span.parent.span_id == outer.context.span_id
    assert [c.span_id for c in during] == [span.context.span_id]
    assert [c.span_id for c in after] == [outer.context.span_id]


def within(
    driver: Driver, manager: Callable[[], AbstractContextManager[Any]], function: Callable[[], Any]
) -> Callable[[], Any]:
    """The call made inside a `with`, as this style's callers write it."""
    if isinstance(driver, Asyncio):

        async def inside() -> Any:
            with manager():
                return await function()

        return inside

    def inside_now() -> Any:
        with manager():
            return function()

    return inside_now


@pytest.mark.parametrize("hook", ["request_hook", "response_hook"])
def test_hook_that_raises_is_logged_once_and_breaks_nothing(
    driver: Driver, hook: str, kv: StubAgent, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("hook")

    bare = driver.call(driver.make(kv.port), "kv.get", "app/a")
    telemetry.instrument(**{hook: broken})
    client = driver.make(kv.port)

    with caplog.at_level(logging.WARNING, "otel_consul"):
        given = [driver.call(client, "kv.get", "app/a") for _ in range(3)]

    assert given == [bare] * 3
    assert_counted(telemetry, 3)
    assert len([r for r in caplog.records if hook in r.getMessage()]) == 1


def test_hooks_see_the_call_and_the_response(driver: Driver, kv: StubAgent, telemetry: Telemetry) -> None:
    asked: list[Any] = []
    answered: list[Any] = []

    def on_request(span: trace.Span, call: Any) -> None:
        asked.append(call)
        span.set_attribute("test.hook", "seen")

    telemetry.instrument(request_hook=on_request, response_hook=lambda _s, _c, response: answered.append(response))
    driver.call(driver.make(kv.port), "kv.get", "app/a")

    (call,), (response,) = asked, answered
    assert (call.operation, call.method, call.blocking) == ("kv.get", "GET", False)
    assert call.path == "/v1/kv/app/a"
    assert response.status == 200
    assert (telemetry.span.attributes or {})["test.hook"] == "seen"


def test_suppressed_call_is_not_recorded(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    client = driver.make(kv.port)

    given = driver.run(within(driver, suppress_instrumentation, lambda: client.kv.get("app/a")))

    assert given
    assert len(kv.requests) == 1
    assert_counted(instrumented, 0)
    driver.call(client, "kv.get", "app/a")
    assert_counted(instrumented, 1)


def test_unsampled_call_is_measured_all_the_same(driver: Driver, kv: StubAgent) -> None:
    telemetry = Telemetry(sampler=ALWAYS_OFF)
    telemetry.instrument()

    assert driver.call(driver.make(kv.port), "kv.get", "app/a")

    assert telemetry.spans == []
    assert telemetry.total(definitions.DURATION.name) == 1
    telemetry.shutdown()


def test_nothing_secret_is_exported(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    for case in CASES:
        do(driver, case, kv, refused_port() if case.refused else kv.port)

    assert len(instrumented.spans) == len(CASES)
    for secret in (TOKEN, VALUE):
        assert secret not in instrumented.text()


# --- on, off, before, after ----------------------------------------------------------------------------------------


def test_client_made_before_is_seen(driver: Driver, kv: StubAgent, telemetry: Telemetry) -> None:
    client = driver.make(kv.port)
    driver.call(client, "kv.get", "app/a")

    telemetry.instrument()
    driver.call(client, "kv.get", "app/a")

    assert_counted(telemetry, 1)


def test_twice_is_once(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    instrumented.instrument()

    driver.call(driver.make(kv.port), "kv.get", "app/a")

    assert_counted(instrumented, 1)


def test_after_uninstrument_nothing_is_left(driver: Driver, kv: StubAgent, telemetry: Telemetry) -> None:
    client = driver.make(kv.port)
    driver.call(client, "kv.get", "app/a")
    before, threads = patched_classes(), our_threads()
    telemetry.instrument()
    kept = getattr(client, "http", None)
    driver.call(client, "kv.get", "app/a")
    telemetry.uninstrument()

    driver.call(client, "kv.get", "app/a")
    if kept is not None:  # a user's own reference to the transport
        assert driver.run(lambda: kept.get(lambda response: response.code, "/v1/kv/app/a")) == 200

    assert len(telemetry.spans) == 1
    assert telemetry.total(definitions.DURATION.name) == 1
    assert patched_classes() == before
    assert our_threads() == threads


def patched_classes() -> dict[str, dict[str, Any]]:
    """The classes where calls pass, as they are now."""
    found: dict[str, dict[str, Any]] = {}
    for module, name in (("consul.base", "Consul"), ("consulate.api.base", "Endpoint")):
        with contextlib.suppress(ModuleNotFoundError):
            if importlib.util.find_spec(module) is not None:
                found[module] = dict(vars(getattr(importlib.import_module(module), name)))
    return found


def our_threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith(("otel", "consul"))}


def test_finished_client_is_not_kept_alive(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    if isinstance(driver, Twisted | Asyncio):
        driver._clients = Forgetful()
    client = driver.make(kv.port)
    driver.call(client, "kv.get", "app/a")
    driver.call(client, "kv.get", "app/none")
    driver.close(client)
    gone = weakref.ref(client)

    del client
    gc.collect()

    assert gone() is None
    assert len(instrumented.spans) == 2


class Forgetful(list[Any]):
    """A list that keeps nothing."""

    def append(self, _: Any) -> None:
        pass


def test_call_still_open_at_uninstrument_is_abandoned_and_goes_on(
    driver: Driver, kv: StubAgent, telemetry: Telemetry
) -> None:
    telemetry.instrument()
    client = driver.make(kv.port)
    hang = kv.fault("/v1/kv/*", stop="hang")
    given: list[Any] = []
    caller = threading.Thread(target=lambda: given.append(driver.outcome(client, "kv.get", "app/a")))
    caller.start()
    hang.wait()

    telemetry.uninstrument()
    abandoned = telemetry.spans
    kv.heal()
    caller.join(10)

    assert len(given) == 1
    assert given[0]
    assert not isinstance(given[0], BaseException)
    (span,) = abandoned
    assert telemetry.spans == abandoned
    assert (span.attributes or {})[semconv.OUTCOME] == Outcome.ABANDONED
    assert span.status.status_code is StatusCode.ERROR
    assert semconv.EVENT_ABANDONED in events(span)


@pytest.mark.styles("sync")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_client_from_before_a_fork_is_told(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    client = driver.make(kv.port)
    driver.call(client, "kv.get", "app/a")
    driver.close(client)  # or parent and child would share a socket, which is what the attribute warns of
    instrumented.clear()

    def told() -> Any:
        driver.call(client, "kv.get", "app/a")
        return (instrumented.span.attributes or {}).get(semconv.CLIENT_FORKED)

    def told_of_a_new_client() -> Any:
        instrumented.clear()
        driver.call(driver.make(kv.port), "kv.get", "app/a")
        return (instrumented.span.attributes or {}).get(semconv.CLIENT_FORKED)

    assert in_child(lambda: [told(), told_of_a_new_client()]) == [True, None]
    assert told() is None


def in_child(function: Callable[[], Any]) -> Any:
    """What the function gives in a forked process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            result = function()
        except BaseException as error:
            result = repr(error)
        os.write(write, json.dumps(result).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        result = stream.read()
    os.waitpid(child, 0)
    return json.loads(result)


# --- many ----------------------------------------------------------------------------------------------------------

MIX = (("app/a", Outcome.OK), ("app/none", Outcome.NOT_FOUND), ("app/broken", Outcome.ERROR))


@pytest.mark.parametrize("concurrency", [1, 8, 64])
def test_every_call_is_counted_once(driver: Driver, concurrency: int, kv: StubAgent, instrumented: Telemetry) -> None:
    count_mixed_calls(driver, concurrency, 4 * max(concurrency, 15), kv, instrumented)


@pytest.mark.styles("asyncio")
def test_thousand_concurrent_calls_are_counted_once(driver: Driver, kv: StubAgent, instrumented: Telemetry) -> None:
    count_mixed_calls(driver, 1000, 1000, kv, instrumented)


def count_mixed_calls(driver: Driver, concurrency: int, number: int, kv: StubAgent, telemetry: Telemetry) -> None:
    kv.fault("/v1/kv/app/broken", status=500, body=b"broken")
    client = driver.make(kv.port)

    def call(key: str) -> Callable[[], Any]:
        return lambda: client.kv.get(key)

    given = driver.gather([call(MIX[i % 3][0]) for i in range(number)], concurrency)

    assert len(given) == number
    assert_counted(telemetry, number)
    for i, (key, outcome) in enumerate(MIX):
        share = len(range(i, number, 3))
        spans = [span for span in telemetry.spans if (span.attributes or {})[semconv.KV_KEY] == key]
        assert len(spans) == share
        assert {(span.attributes or {})[semconv.OUTCOME] for span in spans} == {outcome}
        assert telemetry.total(definitions.DURATION.name, **{semconv.OUTCOME: outcome}) == share
    assert no_span_inside_another(telemetry.spans)


def no_span_inside_another(spans: list[ReadableSpan]) -> bool:
    """Calls side by side do not become each other's parents: the context was given back every time."""
    return all(span.parent is None for span in spans)
