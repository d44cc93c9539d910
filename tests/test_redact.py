"""No secret leaves in text, and what is worth knowing does."""

from __future__ import annotations

import errno
import json
import socket
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_consul.redact import LIMIT, describe

SECRET = "SECRET-b1gs3cr3t"
UUID = "adf4238a-882b-9ddc-4a9d-5b6758e4159e"
URL = f"/v1/kv/{SECRET}?token={SECRET}"

# stand-ins with the names and modules of the real ones, so that these tests run beside any client library


def client_exception(
    name: str, *, base: type[Exception] = Exception, module: str = "consul.exceptions"
) -> type[Exception]:
    return type(name, (base,), {"__module__": module})


ConsulException = client_exception("ConsulException")
ClientError = client_exception("ClientError", base=ConsulException)
ACLPermissionDenied = client_exception("ACLPermissionDenied", base=ConsulException)
NotFound = client_exception("NotFound", base=ConsulException)
Forbidden = client_exception("Forbidden", module="consulate.exceptions")
MaxRetryError = client_exception("MaxRetryError", module="urllib3.exceptions")
NewConnectionError = client_exception("NewConnectionError", module="urllib3.exceptions")
RequestsConnectionError = client_exception("ConnectionError", base=OSError, module="requests.exceptions")
ResponseNeverReceived = client_exception("ResponseNeverReceived", module="twisted.web._newclient")


class Failure:
    """As twisted's: what `reasons` holds."""

    def __init__(self, value: BaseException) -> None:
        self.value = value


def raised(outer: BaseException, cause: BaseException | None = None, *, explicit: bool = False) -> BaseException:
    """`outer` as it is when raised while handling `cause`."""
    try:
        try:
            raise cause or ValueError  # noqa: TRY301 -- the point
        except BaseException as inner:
            if explicit:
                raise outer from inner
            if cause is None:
                raise outer from None
            raise outer  # noqa: B904 -- the context is what is tested
    except BaseException as caught:
        return caught


def refused() -> OSError:
    return ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def requests_refused(secret: str) -> BaseException:
    pool = f"HTTPConnectionPool(host='127.0.0.1', port=8500): Max retries exceeded with url: /v1/kv/{secret}?token={secret}"
    new = raised(NewConnectionError(f"{secret}: Failed to establish a new connection"), refused(), explicit=True)
    retries = MaxRetryError(f"{pool} (Caused by NewConnectionError('[Errno 111] Connection refused'))")
    retries.reason = new  # type: ignore[attr-defined]
    return raised(RequestsConnectionError(retries), retries)


def bad_json(secret: str) -> BaseException:
    try:
        json.loads(secret + "}")
    except json.JSONDecodeError as cause:
        return raised(ConsulException(f"Failed to decode JSON: {secret}}} {cause}"), cause, explicit=True)
    return ConsulException("it was JSON")


def leaky(secret: str) -> list[BaseException]:
    """Every kind of exception the clients raise, the secret wherever they put something of ours."""
    return [
        requests_refused(secret),
        bad_json(secret),
        ConsulException(f"500 {secret}"),
        ConsulException(f"500 No cluster leader {secret}"),
        ClientError(f"409 {secret}"),
        ACLPermissionDenied(secret),
        Forbidden(secret.encode()),
        NotFound(f'Session id "{secret}" not found'),
        ConsulException(f"Missing index header: {{'X-Consul-Token': '{secret}'}}"),
        ConsulException(f"Server connection lost: GET http://127.0.0.1:8500/v1/kv/{secret}?token={secret}"),
        raised(ConsulException("Server connection lost"), ResponseNeverReceived([Failure(ValueError(secret))])),
        KeyError(f"Error setting {secret!r} (500)"),
        KeyError(secret),
        UnicodeDecodeError("utf-8", secret.encode(), 0, 1, secret),
        OSError(errno.ECONNRESET, secret, secret),
    ]


EXPECTED = [
    (
        requests_refused(SECRET),
        "ConnectionError from MaxRetryError from NewConnectionError from ConnectionRefusedError: ",
    ),
    (ConsulException("500 No cluster leader"), "ConsulException: 500 No cluster leader"),
    (ConsulException(f"500 {SECRET}"), "ConsulException: 500"),
    (
        ConsulException("500 rpc error making call: Permission denied"),
        "ConsulException: 500 Permission denied, rpc error",
    ),
    (ClientError(f'409 {{"Results":null,"Errors":[{{"What":"{SECRET}"}}]}}'), "ClientError: 409"),
    (ACLPermissionDenied("ACL not found"), "ACLPermissionDenied: ACL not found"),
    (ACLPermissionDenied(b"Permission denied"), "ACLPermissionDenied: Permission denied"),
    (ConsulException(f"500 invalid session {UUID!r}"), "ConsulException: 500 Invalid session"),
    (bad_json(SECRET), "ConsulException from JSONDecodeError: Failed to decode JSON, Expecting value"),
    (ConsulException("Failed to decode JSON: Permission denied"), "ConsulException: Failed to decode JSON"),
    (refused(), "ConnectionRefusedError: ECONNREFUSED, Connection refused"),
    (socket.gaierror(-2, "Name or service not known"), "gaierror: Name or service not known"),
    (TimeoutError(), "TimeoutError"),
    (ValueError(f"123 {SECRET}"), "ValueError"),
    (
        raised(ConsulException("x"), ResponseNeverReceived([Failure(refused())])),
        "ConsulException from ResponseNeverReceived",
    ),
    (raised(AttributeError("message"), refused()), "AttributeError from ConnectionRefusedError: ECONNREFUSED"),
    # what the application was handling when its call failed is not why it failed
    (raised(refused(), KeyError("a")), "ConnectionRefusedError: ECONNREFUSED, Connection refused"),
]


@pytest.mark.parametrize(("exc", "start"), EXPECTED, ids=lambda value: value if isinstance(value, str) else "")
def test_describe_says_what_is_known(exc: BaseException, start: str) -> None:
    text = describe(exc)

    assert text.startswith(start)
    assert SECRET not in text
    if not start.endswith(": ") and " from " not in start:
        assert text == start


def test_describe_finds_the_reason_below() -> None:
    assert "ECONNREFUSED" in describe(requests_refused(SECRET))
    assert "ECONNREFUSED" in describe(ResponseNeverReceived([Failure(refused())]))


class Hostile(Exception):  # noqa: N818
    """Nothing about it works."""

    args = property(lambda self: 1 / 0)  # type: ignore[assignment]

    def __str__(self) -> str:
        raise RuntimeError(SECRET)

    __repr__ = __str__


def test_describe_survives_anything() -> None:
    circle = ConsulException("500 No cluster leader")
    circle.__cause__ = circle
    both = ConsulException(circle)
    circle.__context__ = both

    assert describe(Hostile()) == "Hostile"
    assert describe(circle).startswith("ConsulException: 500 No cluster leader")
    assert describe(type("x" * 500, (Exception,), {})()) == "exception"
    assert (
        describe(type(f"not a name {SECRET}", (Exception,), {})("No cluster leader")) == "exception: No cluster leader"
    )


def test_describe_is_bounded_and_quick() -> None:
    exc: BaseException = ConsulException("500 " + "rpc error " * 100_000)
    for number in range(50):
        exc = raised(type(f"E{number}" + "x" * 60, (Exception,), {})(exc, ["y" * 10_000] * 50), exc)

    start = time.perf_counter()
    text = describe(exc)

    assert time.perf_counter() - start < 0.5
    assert len(text) <= LIMIT
    assert text.startswith("E49x")


SECRETS = st.one_of(
    st.uuids().map(str),
    st.binary(min_size=16, max_size=48).map(lambda raw: "k" + raw.hex()),
    st.text(min_size=6, max_size=40).map(lambda text: "§" + text),
)
"""Tokens, session ids, and keys or values that may be any text; nothing a class name or a phrase could be by chance."""


@given(secret=SECRETS)
@example(secret="§ with spaces, and 'quotes'")
@example(secret="§\nnew line")
def test_no_secret_survives_describe(secret: str) -> None:
    for exc in leaky(secret):
        assert secret not in describe(exc)
