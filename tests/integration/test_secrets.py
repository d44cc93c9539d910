"""Nothing secret leaves the process: every operation through every client, succeeding and failing, searched as bytes.

What is searched is what an OTLP endpoint received, decompressed, and every line the plugin logged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_consul import ConsulInstrumentor, semconv
from otel_consul.consul_api.endpoints import ROWS
from testbed.otlp_receiver import OtlpReceiver
from testbed.stub_agent import StubAgent, backlog_full_port, refused_port
from tests.clients.drivers import Driver, available
from tests.support.exported import ACL_SECRET, SECRETS, SESSION, TOKEN, VALUE, Exported
from tests.support.stalls import eventually

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

BODY = f'{{"error": "no {VALUE} for token={TOKEN} session {SESSION} /v1/kv/a?token={TOKEN} SecretID {ACL_SECRET}"}}'


@pytest.fixture
def exported() -> Iterator[Exported]:
    with OtlpReceiver() as receiver:
        exported = Exported(receiver)
        yield exported
        if ConsulInstrumentor().is_instrumented_by_opentelemetry:
            ConsulInstrumentor().uninstrument()
        exported.shutdown()


@pytest.fixture(params=available(), ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    driver: Driver = request.param()
    yield driver
    driver.shutdown()


def filled(template: str) -> str:
    """The path, with something secret wherever telemetry may not name what the placeholder stands for."""
    harmless = {"key": "app/a", "service": "web", "gateway": "gw", "node": "n1", "kind": "service-defaults"}
    return re.sub(r"\{(\w+)\}", lambda found: harmless.get(found[1], SESSION), template)


def paths(client: Any, driver: Driver) -> list[tuple[str, Callable[[], Any]]]:
    """A call of every row of the table, secrets in it wherever callers have them."""
    if driver.name.startswith("consulate"):
        adapter = client.kv._adapter
        base = client.kv._base_uri.partition("/v1")[0]
        return [
            (n, _consulate(adapter, m, f"{base}{filled(t)}?token={TOKEN}&acquire={SESSION}")) for n, m, t, _ in ROWS
        ]
    params = [("token", TOKEN), ("acquire", SESSION), ("wait", "1s")]
    return [(name, _seam(client, method, filled(template), params)) for name, method, template, _ in ROWS]


def _consulate(adapter: Any, method: str, uri: str) -> Callable[[], Any]:
    verb = {"POST": "put"}.get(method, method.lower())
    return lambda: getattr(adapter, verb)(uri, VALUE) if verb == "put" else getattr(adapter, verb)(uri)


def _seam(client: Any, method: str, path: str, params: list[tuple[str, str]]) -> Callable[[], Any]:
    def checked(response: Any) -> Any:  # as clients do: what is no success is quoted
        if response.code >= 400:
            raise RuntimeError(f"{response.code} {response.body}")
        return response.body

    data = {} if method in ("GET", "DELETE") else {"data": f'{{"Value": "{VALUE}", "SecretID": "{ACL_SECRET}"}}'}
    return lambda: getattr(client.http, method.lower())(checked, path=path, params=params, **data)


FAULTS: dict[str, dict[str, Any]] = {
    "answered": {"status": 200, "body": BODY.encode(), "headers": {"X-Consul-Index": "7", "X-Consul-Reason": TOKEN}},
    "500": {"status": 500, "body": BODY.encode()},
    "403": {"status": 403, "body": f"token {TOKEN} not found".encode()},
    "reset": {"stop": "reset"},
    "half": {"status": 200, "body": BODY.encode(), "stop": "close", "stop_after": "half"},
    "redirect": {"redirect": f"/v1/kv/elsewhere?token={TOKEN}", "times": 50},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_operation(driver: Driver, fault: str, stub: StubAgent, exported: Exported) -> None:
    exported.instrument()
    stub.fault("/v1/*", **FAULTS[fault])
    client = driver.make(stub.port, token=TOKEN)
    calls = paths(client, driver)

    driver.gather([call for _, call in calls], 8)

    def seen() -> list[Any]:
        exported.flush()
        return [span for span in exported.receiver.spans if span.scope.name == semconv.SCOPE_NAME]

    # Deferreds that nobody keeps are ended by the background thread.
    eventually(lambda: len(seen()) >= len(ROWS), 20.0)
    exported.assert_clean()
    spans = seen()
    assert {name for name, *_ in ROWS} - {span.name for span in spans} <= POSTED_AS_PUT
    if fault in ("500", "reset"):
        assert any(span.status == "ERROR" and span.status_message for span in spans)


POSTED_AS_PUT = {name for name, method, *_ in ROWS if method == "POST"}
"""consulate's transport has no POST; a PUT of the same path may mean something else."""


def through_methods(client: Any, driver: Driver) -> list[Callable[[], Any]]:
    """What callers really call, for the clients' own ways to build, quote and raise."""
    kv = client.kv
    if driver.name.startswith("consulate"):
        return [lambda: kv.get("app/a"), lambda: kv.set("app/a", VALUE), lambda: kv.get(f"app/a?token={TOKEN}"),
                lambda: kv.acquire_lock("app/a", SESSION), lambda: client.session.destroy(SESSION),
                lambda: client.acl.info(ACL_SECRET), lambda: client.acl.destroy(ACL_SECRET)]  # fmt: skip
    calls = [lambda: kv.get("app/a"), lambda: kv.put("app/a", VALUE), lambda: kv.put("app/a", VALUE, acquire=SESSION),
             lambda: kv.put("app/a", VALUE, release=SESSION), lambda: client.session.renew(SESSION),
             lambda: client.session.info(SESSION), lambda: client.session.destroy(SESSION)]  # fmt: skip
    acl = client.acl
    if hasattr(acl, "info"):
        calls += [lambda: acl.info(ACL_SECRET), lambda: acl.destroy(ACL_SECRET)]
    if hasattr(acl, "token"):
        calls += [lambda: acl.token.read(ACL_SECRET), lambda: acl.token.create(secret_id=ACL_SECRET)]
    return calls


@pytest.mark.parametrize(
    ("end", "capture"),
    [(end, "full") for end in ("ok", "bad-json", "500", "refused", "time-out", "connect")]
    + [("ok", "prefix"), ("ok", "none")],
)
def test_methods_of_the_client(driver: Driver, end: str, capture: str, stub: StubAgent, exported: Exported) -> None:
    exported.instrument(capture_keys=capture, stall_threshold=0.2)
    options: dict[str, Any] = {}
    if end in ("time-out", "connect"):
        if not driver.has_timeout:
            pytest.skip("no time-out can be set on this client")
        options = {"timeout": 0.3}
        stub.fault("/v1/*", stop="hang")
    elif end == "bad-json":
        stub.fault("/v1/*", body=f'[{{"Value": "{VALUE}", "t": "{TOKEN}'.encode())
    elif end == "500":
        stub.fault("/v1/*", status=500, body=BODY.encode())
    with backlog_full_port() as full:
        port = {"refused": refused_port(), "connect": full}.get(end, stub.port)
        client = driver.make(port, token=TOKEN, **options)
        given = driver.gather(through_methods(client, driver), 8)

    if end in ("refused", "time-out"):
        assert all(isinstance(one, BaseException) for one in given)
    exported.assert_clean()
    assert exported.receiver.spans
    keys = {span.attributes.get(semconv.KV_KEY) for span in exported.receiver.spans}
    allowed = {"full": {"app/a", None}, "prefix": {"app", None}, "none": {None}}
    assert keys <= allowed[capture]


@pytest.mark.parametrize("hook", ["request_hook", "response_hook"])
def test_log_of_a_broken_hook_quotes_no_exception_of_the_call(driver: Driver, hook: str, exported: Exported) -> None:
    """A hook that raises while a call fails: the traceback of the one must not bring the text of the other."""

    def broken(*_: Any) -> None:
        raise ValueError("the hook's own")

    exported.instrument(**{hook: broken})
    client = driver.make(refused_port(), token=TOKEN)

    driver.gather(through_methods(client, driver)[:1], 1)

    exported.assert_clean()
    assert [line for line in exported.logged if hook in line and "the hook's own" in line]


def test_log_of_our_own_fault_quotes_no_exception_of_the_call(
    driver: Driver, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_consul import guard
    from otel_consul.transports import failures

    def faulty(*_: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr(guard, "strict", False)
    monkeypatch.setattr(failures, "of_exception", faulty)
    exported.instrument()
    client = driver.make(refused_port(), token=TOKEN)

    (given,) = driver.gather(through_methods(client, driver)[:1], 1)

    assert isinstance(given, BaseException)
    assert not isinstance(given, KeyError)
    exported.flush()
    assert exported.logged
    assert not [line for line in exported.logged for secret in SECRETS if secret in line]
