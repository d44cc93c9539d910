"""Calls that are left alone, or cannot be read: they reach the transport once, and nothing is said of their errors."""

from __future__ import annotations

from typing import Any

import pytest

from otel_consul import guard
from otel_consul.metrics import definitions
from tests.support.fake_client import observed, value_of
from tests.support.telemetry import Telemetry

SECRET = "5ec7e7-t0ken"


@pytest.fixture(autouse=True)
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "strict", False)


class Failing:
    """Work that fails, and counts how often it was done."""

    def __init__(self) -> None:
        self.error = ValueError(SECRET)
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        raise self.error


@pytest.mark.parametrize("lazy", [False, True])
def test_excluded_call_that_fails_is_made_once(
    lazy: bool, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    work = Failing()
    with observed(telemetry, excluded_operations="kv.*") as library:
        call = library.client(work, lazy=lazy).http.get
        with pytest.raises(ValueError, match=SECRET) as caught:
            call(value_of, "/v1/kv/a").send(None) if lazy else call(value_of, "/v1/kv/a")

    assert caught.value is work.error
    assert caught.value.__context__ is None
    assert work.times == 1
    assert caplog.records == []
    assert telemetry.spans == []
    assert telemetry.total(definitions.DURATION.name) == 0


def test_call_that_cannot_be_read_is_made_once(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work = Failing()
    with observed(telemetry) as library:
        monkeypatch.setattr(library.recorder, "_types", None)
        with pytest.raises(ValueError, match=SECRET) as caught:
            library.client(work).http.get(value_of, "/v1/kv/a")

    assert caught.value.__context__ is None
    assert work.times == 1
    (line,) = caplog.records
    assert SECRET not in line.getMessage()
