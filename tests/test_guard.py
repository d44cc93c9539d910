"""A fault of ours is told once, quotes nothing of the caller's, and never reaches the caller."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from otel_consul import guard, semconv
from otel_consul.call.call_types import CallTypes
from otel_consul.consul_api import response
from otel_consul.local_delay import LocalDelay
from otel_consul.metrics import definitions
from otel_consul.transports import failures
from tests.support.fake_client import OK, observed, value_of
from tests.support.telemetry import Telemetry

SECRET = "5ec7e7-t0ken"


@pytest.fixture(autouse=True)
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "strict", False)


def raise_ours(*_: Any, **__: Any) -> Any:
    raise LookupError("ours")


def test_told_once_a_place(caplog: pytest.LogCaptureFixture) -> None:
    for place in ("one", "two", "one"):
        try:
            raise_ours()
        except LookupError:
            guard.fault(place)
    for _ in range(2):
        try:
            raise_ours()
        except LookupError:
            guard.hook_fault("request_hook")

    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR, logging.WARNING]
    assert all("LookupError: ours" in record.getMessage() for record in caplog.records)
    guard.forget()
    try:
        raise_ours()
    except LookupError:
        guard.fault("one")
    assert len(caplog.records) == 4


def test_quotes_its_own_exception_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    try:
        try:
            raise ValueError(SECRET)  # noqa: TRY301 -- it is the context of the next
        except ValueError as error:
            raise LookupError("ours") from error
    except LookupError:
        guard.fault("chain")
        guard.hook_fault("chain's")
        guard.hook_fault("response_hook")

    assert "LookupError: ours" in caplog.text
    assert SECRET not in caplog.text


def test_broken_log_handler_breaks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("handler")

    logger, handler = logging.getLogger("otel_consul"), Broken()
    logger.addHandler(handler)
    try:
        try:
            raise_ours()
        except LookupError:
            guard.fault("anything")
            guard.hook_fault("anything else")
    finally:
        logger.removeHandler(handler)


def test_strict_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "strict", True)
    with pytest.raises(LookupError, match="ours"):  # noqa: PT012
        try:
            raise_ours()
        except LookupError:
            guard.fault("strictly")


PLACES = (
    ("reading a call", CallTypes, "without_params"),
    ("starting a call", LocalDelay, "call_started"),
    ("ending a failed call", failures, "of_exception"),
)


@pytest.mark.parametrize(("place", "owner", "name"), PLACES, ids=[place for place, *_ in PLACES])
@pytest.mark.parametrize("fails", [False, True])
def test_caller_gets_what_is_theirs(
    place: str, owner: Any, name: str, fails: bool, telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    prepared = ValueError(SECRET)

    def work() -> Any:
        if fails:
            raise prepared
        return OK

    with observed(telemetry) as library:
        client = library.client(work)
        monkeypatch.setattr(owner, name, raise_ours)
        for _ in range(3):
            if fails:
                with pytest.raises(ValueError, match=SECRET) as caught:
                    client.http.get(value_of, "/v1/kv/a")
                assert caught.value is prepared
            else:
                assert client.http.get(value_of, "/v1/kv/a") is OK.body
        monkeypatch.undo()

    told = [record for record in caplog.records if record.name == "otel_consul"]
    expected = fails or place != "ending a failed call"
    assert len([record for record in told if place in record.getMessage()]) == expected
    assert SECRET not in "".join(record.getMessage() for record in told)


def test_next_call_is_observed_again(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    with observed(telemetry) as library:
        client = library.client()
        with monkeypatch.context() as patch:
            patch.setattr(library.recorder, "_types", None)
            client.http.get(value_of, "/v1/kv/a")
        client.http.get(value_of, "/v1/kv/a")

        assert len(telemetry.spans) == 1
        assert telemetry.total(definitions.ACTIVE.name) == 0


def test_answer_that_is_read_wrongly_loses_no_call(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(response, "usual", raise_ours)
    with observed(telemetry) as library:
        client = library.client()
        assert client.http.get(lambda answer: answer, "/v1/kv/a") is OK
        assert telemetry.total(definitions.ACTIVE.name) == 0
        assert telemetry.total(definitions.DURATION.name) == 1
        assert telemetry.span.name == "kv.get"
    assert len([record for record in caplog.records if record.name == "otel_consul"]) == 1


def test_failure_that_is_read_wrongly_loses_no_call(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise ValueError(SECRET)

    monkeypatch.setattr(failures, "of_exception", raise_ours)
    with observed(telemetry) as library:
        with pytest.raises(ValueError, match=SECRET):
            library.client(fail).http.get(value_of, "/v1/kv/a")
        assert telemetry.total(definitions.DURATION.name, **{semconv.OUTCOME: "error"}) == 1
        assert (telemetry.span.attributes or {})[semconv.ERROR_TYPE] == "ValueError"
