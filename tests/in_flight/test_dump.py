"""The open calls, as people see them: `dump_open_calls`, and the signal that asks for it."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import consul
import pytest

import otel_consul
from otel_consul import OpenCall
from otel_consul.in_flight import dump as profile
from otel_consul.stacks.walk import Frame
from testbed.stub_agent import StubAgent
from tests.support.stalls import eventually
from tests.support.telemetry import Telemetry


def call(operation: str = "kv.get", line: int = 12, age: float = 1.0, **changes: Any) -> OpenCall:
    frames = (Frame("/app/main.py", 30, "main"), Frame("/app/worker.py", line, "refresh"))
    values: dict[str, Any] = {
        "operation": operation, "server_address": "10.0.0.1", "server_port": 8500, "blocking": False, "deadline": "none",
        "phase": "wait", "age": age, "waiter": "worker-1", "file": "/app/worker.py", "line": line, "function": "refresh",
        "frames": frames,
    }  # fmt: skip
    return OpenCall(**{**values, **changes})


def test_grouped_by_operation_and_caller_largest_first() -> None:
    calls = [call(age=age, waiter=f"worker-{age}") for age in (31.25, 20.0, 12.0, 5.0, 2.5)]
    calls += [call("kv.put", line=40, phase="connect", deadline="total"), call(line=40, phase="pool"), call(line=40)]
    assert profile.report(calls) == (
        """8 open Consul calls, the oldest for 31.2 s

     5 x kv.get at /app/worker.py:12 refresh
         age 2.5 to 31.2 s, deadline none, phase wait, 10.0.0.1:8500
         in worker-12.0, worker-2.5, worker-20.0 and 2 more
           /app/main.py:30 main
           /app/worker.py:12 refresh

     2 x kv.get at /app/worker.py:40 refresh
         age 1.0 to 1.0 s, deadline none, phase pool(1) wait(1), 10.0.0.1:8500
         in worker-1
           /app/main.py:30 main
           /app/worker.py:40 refresh

     1 x kv.put at /app/worker.py:40 refresh
         age 1.0 s, deadline total, phase connect, 10.0.0.1:8500
         in worker-1
           /app/main.py:30 main
           /app/worker.py:40 refresh"""
    )


def test_at_most_100_columns() -> None:
    long = "/very/long" * 30 + "/worker.py"
    lines = profile.report(
        [call(frames=(Frame(long, 1, "refresh"),), waiter="w" * 200, server_address="host" * 50)]
    ).splitlines()
    assert max(map(len, lines)) == 100
    assert any(line.endswith("/worker.py:1 refresh") for line in lines)


def test_what_is_not_known_is_said_so() -> None:
    bare = {"file": None, "line": None, "function": None, "frames": (), "waiter": None, "deadline": None}
    text = profile.report([call(server_address=None, server_port=None, **bare)])
    assert "an unknown place" in text
    assert "deadline unknown" in text
    assert "unknown agent" in text
    assert "None" not in text


def test_none_open() -> None:
    out = io.StringIO()
    otel_consul.dump_open_calls(out)
    assert out.getvalue() == "No open Consul calls.\n"
    assert otel_consul.open_calls() == []


def test_dump_of_real_calls(instrumented: Telemetry, in_thread: Callable[..., Any], hanging: StubAgent) -> None:
    client = consul.Consul(port=hanging.port)
    for _ in range(3):
        in_thread(lambda: client.kv.get("hang"))
    hanging.wait_for_requests(3)
    out = io.StringIO()
    otel_consul.dump_open_calls(out)
    assert out.getvalue().startswith("3 open Consul calls")
    assert f"3 x kv.get at {__file__}"[-60:] in out.getvalue()


def test_open_calls_are_frozen_snapshots(
    instrumented: Telemetry, in_thread: Callable[..., Any], hanging: StubAgent
) -> None:
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.health.service("web", index=3, wait="5s"))
    hanging.wait_for_requests(1)
    hanging.fault("/v1/health/*", stop="hang")
    in_thread(lambda: client.health.service("web", index=3, wait="5s"), "watcher")
    hanging.wait_for_requests(2)
    eventually(lambda: {call.phase for call in otel_consul.open_calls()} == {"wait"})
    seen = otel_consul.open_calls()[-1]
    assert (seen.operation, seen.blocking, seen.deadline, seen.phase) == ("health.service", True, "per_read", "wait")
    assert (seen.server_address, seen.server_port, seen.waiter) == ("127.0.0.1", hanging.port, "watcher")
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen.age = 0  # type: ignore[misc]
    age = seen.age
    time.sleep(0.01)
    assert seen.age == age


# --- the signal -------------------------------------------------------------------------------------------------------


@pytest.fixture
def default_signal() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.usefixtures("default_signal")
def test_the_signal_prints_to_stderr(
    telemetry: Telemetry, in_thread: Callable[..., Any], hanging: StubAgent, capfd: pytest.CaptureFixture[str]
) -> None:
    telemetry.instrument(dump_signal="SIGUSR2")
    client = consul.Consul(port=hanging.port)
    in_thread(lambda: client.kv.get("hang"))
    hanging.wait_for_requests(1)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert "1 x kv.get at " in capfd.readouterr().err
    telemetry.uninstrument()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


@pytest.mark.usefixtures("default_signal")
def test_a_signal_that_somebody_handles_is_left_alone(telemetry: Telemetry, capfd: pytest.CaptureFixture[str]) -> None:
    taken: list[int] = []

    def theirs(number: int, frame: object) -> None:
        taken.append(number)

    signal.signal(signal.SIGUSR2, theirs)
    telemetry.instrument(dump_signal="USR2")
    os.kill(os.getpid(), signal.SIGUSR2)
    assert taken == [signal.SIGUSR2]
    telemetry.uninstrument()
    assert signal.getsignal(signal.SIGUSR2) is theirs
    assert "open Consul calls" not in capfd.readouterr().err


@pytest.mark.usefixtures("default_signal")
def test_a_handler_set_later_stays(telemetry: Telemetry, capfd: pytest.CaptureFixture[str]) -> None:
    telemetry.instrument(dump_signal="USR2")
    ours = signal.getsignal(signal.SIGUSR2)
    assert callable(ours)

    def passes_on(number: int, frame: object) -> None:
        ours(number, frame)  # type: ignore[arg-type]

    signal.signal(signal.SIGUSR2, passes_on)
    os.kill(os.getpid(), signal.SIGUSR2)  # neither a dump nor the end of the process: it is theirs now
    telemetry.uninstrument()
    assert signal.getsignal(signal.SIGUSR2) is passes_on
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("default_signal")
def test_instrumented_in_another_thread_it_takes_no_signal(telemetry: Telemetry) -> None:
    thread = threading.Thread(target=lambda: telemetry.instrument(dump_signal="USR2"))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
