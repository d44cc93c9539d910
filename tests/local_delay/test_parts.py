"""The parts, each with the truth in hand."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from math import inf
from types import SimpleNamespace

import pytest

from otel_consul.local_delay import callers, loops, sockets
from otel_consul.local_delay.callers import CallerClocks
from otel_consul.local_delay.loops import LoopWatch, _Beat
from otel_consul.local_delay.pauses import Pauses, _Pause
from otel_consul.local_delay.probe import PERIOD, Probe, _Late


class Loop:
    """As much of an event loop as a heartbeat needs."""


def quiet() -> Probe:
    return Probe(SimpleNamespace(due=inf, woke=0.0), lambda: None, CallerClocks(), Pauses())


def suffering(seconds: float) -> Probe:
    """The background thread should have run `seconds` ago and still waits."""
    return Probe(SimpleNamespace(due=time.perf_counter() - seconds, woke=0.0), lambda: False, CallerClocks(), Pauses())


def watch(probe: Probe, pauses: Pauses | None = None) -> LoopWatch:
    watch = LoopWatch(weakref.ref(Loop()), pauses or Pauses(), probe, lambda: None)
    watch._beats.append(_Beat(time.perf_counter(), time.thread_time(), None))
    return watch


def test_a_pause_is_counted_whole_and_remembered() -> None:
    pauses = Pauses()
    pauses.start()
    try:
        before = time.perf_counter()
        junk: list[list[int]] = [[] for _ in range(300_000)]
        start = time.perf_counter()
        gc.collect()
        took = time.perf_counter() - start
        assert len(junk) == 300_000
    finally:
        pauses.stop()
    assert pauses.total >= 0.9 * took
    assert pauses.within(start, time.perf_counter()) == pytest.approx(took, rel=0.1)
    assert pauses.within(start, time.perf_counter(), but_by=threading.get_ident()) == 0
    assert pauses.within(before - 1, before) == 0


def test_a_pause_counts_though_its_end_is_not_noted_yet() -> None:
    pauses = Pauses()
    pauses._callback("start", {})
    time.sleep(0.05)
    now = time.perf_counter()
    assert pauses.until(now) == pytest.approx(0.05, abs=0.04)
    assert pauses.within(now - 10, now) == pytest.approx(pauses.until(now))
    pauses._callback("stop", {})
    assert pauses.began == 0
    assert pauses.total >= 0.05


def test_nothing_is_left_in_the_collector() -> None:
    before = list(gc.callbacks)
    pauses = Pauses()
    pauses.start()
    pauses.stop()
    pauses.stop()
    assert gc.callbacks == before


@pytest.mark.skipif(not sockets.AVAILABLE, reason="needs Linux")
def test_the_kernel_knows_how_long_an_answer_has_waited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"answer")
            client.sendall(b"question")
            time.sleep(0.2)
            assert sockets.since_received(client) == pytest.approx(0.2, abs=0.1)
            assert sockets.since_sent(client) == pytest.approx(0.2, abs=0.1)
    assert sockets.since_received(client) is None  # closed
    left, right = socket.socketpair()
    with left, right:
        assert sockets.since_received(left) is None
    assert sockets.since_received(None) is None


def test_a_loop_that_had_the_processor_was_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = watch(suffering(0.5))
    start = time.perf_counter()
    had = watched._beats[0][1]
    monkeypatch.setattr(loops, "thread_time", lambda: had + 0.2)
    split = watched.split(start, start + 0.5)
    assert split == (0.5, 0, 0), "however much it was slowed down itself"


def test_a_loop_that_slept_while_others_could_run_was_blocked() -> None:
    watched = watch(quiet())
    start = time.perf_counter()
    time.sleep(0.1)
    now = time.perf_counter()
    split = watched.split(start, now)
    assert split.gil == 0
    assert split.event_loop == pytest.approx(now - start)


def test_a_loop_that_stood_still_with_everybody_else_had_no_gil() -> None:
    watched = watch(quiet())
    start = time.perf_counter()
    time.sleep(0.1)
    watched._probe = suffering(0.1)
    now = time.perf_counter()
    split = watched.split(start, now)
    assert split.event_loop == 0
    assert split.gil == pytest.approx(now - start)


def test_what_the_background_thread_was_spared_of_a_hogs_turn_is_not_the_loops() -> None:
    probe = quiet()
    watched = watch(probe)
    start = watched._beats[0][0]
    probe._late.append(_Late(start, start + 0.002, 0.0))
    assert watched.split(start, start + 0.007) == (0, pytest.approx(0.006), 0)
    probe._late.append(_Late(start, start + 0.3, 0.0))
    assert watched.split(start, start + 0.5) == (pytest.approx(0.18), pytest.approx(0.32), 0)


def test_who_it_was_is_not_known_where_the_processor_time_may_be_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last heartbeat is 20 ms old; the 3 ms that the thread has had since may be of the last 10 ms, or not."""
    watched = watch(suffering(0.01))
    start, had = watched._beats[0][0] + 0.02, watched._beats[0][1]
    monkeypatch.setattr(loops, "thread_time", lambda: had + 0.003)
    assert watched.split(start, start + 0.01) == (0, 0, 0)
    monkeypatch.setattr(loops, "thread_time", lambda: had + 0.028)
    assert watched.split(start, start + 0.01) == (pytest.approx(0.01), 0, 0)
    monkeypatch.setattr(loops, "thread_time", lambda: had + 0.0005)
    assert watched.split(start, start + 0.01) == (0, pytest.approx(0.01), 0)


def test_a_collection_is_neither() -> None:
    pauses = Pauses()
    pauses._recent.append(_Pause(10.0, 10.4, 1, 0.0))
    watched = watch(quiet(), pauses)
    watched._first = time.thread_time()
    split = watched.split(10.0, 10.5)
    assert split.gil == 0
    assert split.event_loop == pytest.approx(0.1)


def test_the_probe_remembers_lateness_where_it_was() -> None:
    sleeper = SimpleNamespace(due=inf, woke=0.0)
    probe = Probe(sleeper, lambda: True, CallerClocks(), Pauses())
    sleeper.due, sleeper.woke = 100.0, 100.3
    assert probe(100.3) == PERIOD
    sleeper.due, sleeper.woke = 100.32, 100.32
    probe(100.32)
    assert probe.worst(100.1, 100.2) == pytest.approx(0.3)
    assert probe.worst(100.5, 100.6) == 0
    assert probe.worst(99.0, 99.9) == 0
    sleeper.due = 100.6
    assert probe.worst(100.7, 100.9) == pytest.approx(0.3), "it still waits"


def test_the_probe_rests_when_nobody_needs_it() -> None:
    probe = quiet()
    assert probe(100.0) is None
    probe.wanted = True
    assert probe(100.0) == PERIOD
    assert probe(100.9) == PERIOD
    assert probe(101.1) is None


needs_clocks = pytest.mark.skipif(not callers.AVAILABLE, reason="needs Linux")


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@needs_clocks
def test_the_clock_of_a_calling_thread_is_read_by_another() -> None:
    clocks = CallerClocks()
    ident = threading.get_ident()
    first = clocks.read(ident)
    assert clocks.latest == {ident: first}
    spin(0.02)
    other = threading.Thread(target=clocks.refresh)
    other.start()
    other.join()
    assert first + 0.02 <= clocks.latest[ident] <= time.thread_time()


@needs_clocks
def test_a_thread_that_stands_still_or_is_gone_is_forgotten() -> None:
    clocks = CallerClocks()
    go, read = threading.Event(), threading.Event()

    def idle() -> None:
        clocks.read(threading.get_ident())
        read.set()
        go.wait()

    thread = threading.Thread(target=idle)
    thread.start()
    read.wait()
    ended = threading.Thread(target=lambda: clocks.read(threading.get_ident()))
    ended.start()
    ended.join()
    time.sleep(0.05)
    clocks.refresh()  # what it did after it was read
    clocks.refresh()
    assert clocks.latest == {}
    go.set()
    thread.join()


def test_only_so_many_threads_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_MOST", 1)
    clocks = CallerClocks()
    clocks.read(1)
    clocks.read(2)
    assert len(clocks.latest) <= 1
