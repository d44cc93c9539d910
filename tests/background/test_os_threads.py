"""A scheduler nobody has thought of: where no thread of the operating system is to be had, nothing waits, and one line says so."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from otel_consul import guard
from otel_consul.background import os_threads
from otel_consul.background.thread import Background
from otel_consul.metrics import definitions
from tests.support.fake_client import observed, value_of
from tests.support.telemetry import Telemetry


def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads run in the thread of whoever starts them."""

    class Inline(threading.Thread):
        def start(self) -> None:
            self.run()

        def join(self, timeout: float | None = None) -> None: ...

    monkeypatch.setattr(threading, "Thread", Inline)


def in_greenlets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads are greenlets, in a thread that is not the caller's."""
    greenlet = pytest.importorskip("greenlet")
    genuine = threading.Thread

    class Green(genuine):  # type: ignore[misc, valid-type]
        def run(self) -> None:
            greenlet.greenlet(super().run).switch()

    monkeypatch.setattr(threading, "Thread", Green)


def replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No function of the interpreter's own is left."""
    for name in ("_start_new_thread", "_start_joinable_thread"):
        if hasattr(threading, name):
            monkeypatch.setattr(threading, name, lambda *_, **__: None)
    monkeypatch.setattr(os_threads, "_start_new_thread", lambda *_: None)


SCHEDULERS = [inline, in_greenlets, replaced]


@pytest.fixture(params=SCHEDULERS, ids=lambda scheduler: scheduler.__name__)
def scheduler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    install: Callable[[pytest.MonkeyPatch], None] = request.param
    install(monkeypatch)


def told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING and record.name == "otel_consul"]


@pytest.mark.usefixtures("scheduler")
def test_the_thread_ends_itself_and_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[float] = []
    background = Background(0.01)
    background.add(ran.append)
    for _ in range(3):
        background.nudge()
        background.hurry()
        time.sleep(0.05)
    background.stop()
    assert not ran
    assert not background.asleep
    (record,) = told(caplog)
    assert "finds no thread" in record.getMessage()


def test_what_needs_no_thread_still_works(
    telemetry: Telemetry, scheduler: None, caplog: pytest.LogCaptureFixture
) -> None:
    with observed(telemetry) as library:
        client = library.client()
        for _ in range(3):
            assert client.http.get(value_of, "/v1/kv/a") == "[]"
        assert [span.name for span in telemetry.spans] == ["kv.get"] * 3
        assert telemetry.total(definitions.DURATION.name) == telemetry.total(definitions.OPERATIONS.name) == 3
        assert telemetry.total(definitions.ACTIVE.name) == 0
    assert len(told(caplog)) == 1


def test_start_bare_says_that_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch)
    with pytest.raises(os_threads.NoThreadError):
        os_threads.start_bare(lambda: None)
    with pytest.raises(os_threads.NoThreadError):
        os_threads.start(lambda: None, "name")


def test_a_thread_of_its_own_runs_and_is_waited_for() -> None:
    idents: list[int] = []
    for start in (lambda work: os_threads.start(work, "name"), os_threads.start_bare):
        start(lambda: idents.append(os_threads.get_ident()))(5.0)
    assert len(idents) == 2
    assert os_threads.get_ident() not in idents
    assert guard.strict
