"""The one thread: asleep while there is nothing to do, awake at once when there is, and never in anybody's way."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from otel_consul import guard
from otel_consul.background.thread import Background
from tests.support.stalls import eventually


@pytest.fixture
def background() -> Iterator[Background]:
    background = Background(linger=0.05)
    yield background
    background.stop()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "otel-consul"]


def test_no_thread_before_the_first_call(background: Background) -> None:
    background.add(lambda now: None)
    assert not background.running
    assert not threads()


def test_a_call_without_any_job_starts_no_thread(background: Background) -> None:
    background.nudge()
    assert not background.running


def test_jobs_run_when_they_want(background: Background) -> None:
    runs: list[float] = []

    def job(now: float) -> float | None:
        runs.append(now)
        return 0.02 if len(runs) < 4 else None

    background.add(job)
    background.nudge()
    eventually(lambda: len(runs) == 4)
    gaps = [later - earlier for earlier, later in pairwise(runs)]
    assert min(gaps) >= 0.02
    time.sleep(0.1)
    assert len(runs) == 4


def test_it_falls_asleep_and_a_call_wakes_it_at_once(background: Background) -> None:
    runs: list[float] = []
    background.add(runs.append)
    background.nudge()
    eventually(lambda: background.asleep)
    assert background.due == float("inf")  # no time-out: no wake-ups
    runs.clear()
    start = time.perf_counter()
    background.nudge()
    eventually(lambda: runs)
    assert runs[0] - start < 0.05
    assert threads() == ["otel-consul"]


def test_a_nudge_while_it_lingers_is_not_lost(background: Background) -> None:
    runs: list[float] = []
    background.add(runs.append)
    for expected in range(1, 30):
        background.nudge()
        eventually(lambda expected=expected: len(runs) >= expected, 2)
        time.sleep(0.0017 * expected)  # all moments of lingering and of falling asleep


def test_hurry_does_not_wait_for_the_linger() -> None:
    background = Background(linger=5)
    runs: list[float] = []
    background.add(runs.append)
    background.nudge()
    eventually(lambda: runs)
    background.hurry()
    eventually(lambda: len(runs) == 2, 1)
    background.stop()


def test_nudges_from_many_threads_start_one_thread(background: Background) -> None:
    background.add(lambda now: 0.01)
    gate = threading.Barrier(20)

    def nudge() -> None:
        gate.wait()
        background.nudge()

    callers = [threading.Thread(target=nudge) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert threads() == ["otel-consul"]


def test_a_removed_job_runs_no_more(background: Background) -> None:
    runs: list[float] = []

    def job(now: float) -> float:
        runs.append(now)
        return 0.005

    background.add(job)
    background.nudge()
    eventually(lambda: runs)
    background.remove(job)
    time.sleep(0.03)
    count = len(runs)
    time.sleep(0.03)
    assert len(runs) == count


def test_stop_ends_the_thread_and_nudges_start_none(background: Background) -> None:
    background.add(lambda now: 0.01)
    background.nudge()
    assert threads()
    background.stop()
    assert not threads()
    background.nudge()
    assert not threads()


def test_stop_does_not_wait_for_a_job_that_hangs() -> None:
    background = Background()
    hang = threading.Event()
    background.add(lambda now: float(hang.wait(10)))
    background.nudge()
    start = time.perf_counter()
    background.stop()
    assert time.perf_counter() - start < 1
    hang.set()


def test_a_job_may_stop_it() -> None:
    background = Background()
    background.add(lambda now: background.stop())
    background.nudge()
    eventually(lambda: not threads())


def test_a_fault_of_a_job_is_reported_and_the_others_run_on(
    background: Background, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "strict", False)
    runs: list[float] = []

    def broken(now: float) -> float:
        raise RuntimeError("broken job")

    def works(now: float) -> float:
        runs.append(now)
        return 0.005

    background.add(broken)
    background.add(works)
    background.nudge()
    eventually(lambda: len(runs) > 3)
    assert caplog.text.count("failed in a background job") == 1


def test_a_nudge_is_cheap_while_the_thread_is_awake(background: Background) -> None:
    background.add(lambda now: 0.01)
    background.nudge()
    best = min(_timed(background) for _ in range(20))
    assert best < 1e-6  # 0.07 µs on a quiet machine


def _timed(background: Background) -> float:
    nudge = background.nudge
    start = time.perf_counter()
    for _ in range(1000):
        nudge()
    return (time.perf_counter() - start) / 1000


def test_a_dropped_one_is_not_kept_alive() -> None:
    import weakref

    background = Background()
    background.add(lambda now: None)
    ref = weakref.ref(background)
    del background
    gc.collect()
    assert ref() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_in_a_forked_child_it_starts_anew(background: Background) -> None:
    runs: list[Any] = []
    background.add(lambda now: runs.append(os.getpid()))
    background.nudge()
    eventually(lambda: runs)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before = background.running
            background.nudge()
            eventually(lambda: os.getpid() in runs)
            os.write(write, b"child ran" if not before else b"thread of the parent's")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    assert os.read(read, 100) == b"child ran"
    os.close(read)


@pytest.mark.parametrize(
    ("worker", "mule", "starts"), [(0, 0, False), (1, 0, True), (0, 1, True)], ids=["master", "worker", "mule"]
)
def test_in_a_process_that_is_to_be_forked_in_c_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, worker: int, mule: int, starts: bool
) -> None:
    """uWSGI's master: a thread that holds the GIL at the fork holds it for ever in the worker."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(worker_id=lambda: worker, mule_id=lambda: mule))
    background = Background()
    background.add(lambda _: None)
    try:
        background.nudge()
        assert background.running is starts
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(worker_id=lambda: 1, mule_id=lambda: 0))
        background.nudge()
        assert background.running
    finally:
        background.stop()


def test_a_module_of_that_name_may_be_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace())
    background = Background()
    background.add(lambda _: None)
    background.nudge()
    assert background.running
    background.stop()
