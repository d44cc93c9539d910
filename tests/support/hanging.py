"""Calls that hang, for real: a stub agent that never answers, in threads and tasks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider

from testbed.otlp_receiver import OtlpReceiver
from testbed.stub_agent import StubAgent
from tests.support.programs import Program, Start
from tests.support.stalls import Logs


@pytest.fixture
def logs() -> Iterator[Logs]:
    """Log records, as the plugin emits them."""
    logs = Logs()
    logs.provider = LoggerProvider(shutdown_on_exit=False)
    logs.provider.add_log_record_processor(logs)
    yield logs
    logs.provider.shutdown()


@pytest.fixture
def hanging(stub: StubAgent) -> StubAgent:
    """An agent that takes every request about a key and says nothing."""
    stub.fault("/v1/kv/*", stop="hang")
    return stub


@pytest.fixture
def in_thread(hanging: StubAgent) -> Iterator[Callable[..., threading.Thread]]:
    """Run something in a thread of its own; the agent hangs up at the end of the test, and the thread must end."""
    threads: list[threading.Thread] = []

    def start(work: Callable[[], Any], name: str | None = None) -> threading.Thread:
        def run() -> None:
            with suppress(Exception):
                work()

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    hanging.stop()
    end = time.monotonic() + 5
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
        assert not thread.is_alive()


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A real OTLP endpoint."""
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def program(hanging: StubAgent, receiver: OtlpReceiver, tmp_path: Path) -> Start:
    """Make a program of this code, with `providers()`, `instrument()` and `open_calls(count)` to use."""

    def program(code: str, **environ: str) -> Program:
        return Program(code, hanging.port, receiver, tmp_path, **environ)

    return program
