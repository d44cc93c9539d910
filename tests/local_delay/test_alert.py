"""The thread that watches: what it says of the machine, and what calls make of it."""

from __future__ import annotations

import time
from math import inf
from types import SimpleNamespace

import pytest

from otel_consul.local_delay import probe as probe_module
from otel_consul.local_delay import scheduler
from otel_consul.local_delay.callers import CallerClocks
from otel_consul.local_delay.calls import Delay
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.probe import Probe
from otel_consul.phases import Clock

# --- the thread that watches --------------------------------------------------------------------------------------------


class Kernel:
    """What it says of the watching thread and of the limit, in place of the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ready: float | None = 5.0
        self.throttled: float | None = 0.0
        self.readings = 0
        self.moved = False
        self.sleeper = SimpleNamespace(due=inf, woke=0.0)
        self.pauses = Pauses()
        self.probe = Probe(self.sleeper, lambda: True, CallerClocks(), self.pauses)
        monkeypatch.setattr(probe_module, "run_delay", self.run_delay)
        monkeypatch.setattr(scheduler, "AVAILABLE", True)
        limit = SimpleNamespace(find=lambda: self.moved, throttled=lambda: self.throttled)
        monkeypatch.setattr(probe_module, "CpuLimit", lambda: limit)

    def run_delay(self, _: int | None) -> float | None:
        self.readings += 1
        return self.ready

    def wake(self, due: float, late: float, starved: float = 0.0) -> None:
        assert self.ready is not None
        self.sleeper.due, self.sleeper.woke = due, due + late
        self.ready += starved
        self.probe(due + late)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def test_lateness_is_divided(kernel: Kernel) -> None:
    kernel.wake(100.0, 0.0)
    kernel.wake(100.025, 0.2, starved=0.15)
    assert kernel.probe.starved(100.0, 100.3) == pytest.approx(0.15)
    assert kernel.probe.worst(100.0, 100.3) == pytest.approx(0.2)
    assert kernel.probe.worst(100.0, 100.3, starved=False) == pytest.approx(0.05)
    assert kernel.probe.alert
    assert kernel.pauses.alert


def test_it_is_never_more_than_the_stretch(kernel: Kernel) -> None:
    kernel.wake(100.0, 0.0)
    kernel.wake(100.025, 0.2, starved=3.0)
    assert kernel.probe.starved(100.1, 100.15) == pytest.approx(0.05)
    assert kernel.probe.starved(0.0, 1000.0) == pytest.approx(0.2)
    assert kernel.probe.starved(101.0, 102.0) == 0


def test_small_lateness_before_is_not_charged_to_it(kernel: Kernel) -> None:
    """Late by the GIL now; the reading from before is old, and what has been added since was little each time."""
    kernel.wake(100.0, 0.0)
    kernel.wake(100.025, 0.0005, starved=0.0005)
    kernel.wake(100.05, 0.0004, starved=0.0004)
    kernel.wake(100.075, 0.3)
    assert kernel.probe.starved(100.0, 101.0) == pytest.approx(0.0, abs=1e-9)
    assert not kernel.probe.alert


def test_it_is_read_as_seldom_as_the_truth_allows(kernel: Kernel) -> None:
    for number in range(100):
        kernel.wake(100.0 + number / 40, 0.0)
    assert kernel.readings == 1
    for number in range(100):
        kernel.wake(110.0 + number / 40, 0.0001)
    assert kernel.readings < 15


def test_the_alert_passes(kernel: Kernel) -> None:
    kernel.wake(100.0, 0.0)
    kernel.wake(100.025, 0.2, starved=0.2)
    assert kernel.probe.alert
    kernel.wake(110.0, 0.0)
    assert not kernel.probe.alert
    assert not kernel.pauses.alert


def test_where_the_kernel_does_not_tell_nothing_is_claimed(kernel: Kernel) -> None:
    kernel.ready = None
    kernel.sleeper.due, kernel.sleeper.woke = 100.0, 100.5
    kernel.probe(100.5)
    assert kernel.probe.starved(100.0, 100.5) == 0
    assert kernel.probe.worst(100.0, 100.5, starved=False) == pytest.approx(0.5)


def test_a_child_starts_anew(kernel: Kernel) -> None:
    kernel.wake(100.0, 0.0)
    kernel.wake(100.025, 0.2, starved=0.2)
    kernel.probe.reset()
    assert not kernel.probe.alert
    assert kernel.probe.starved(0.0, 200.0) == 0
    assert kernel.probe.throttled(0.0) is None


# --- a call -------------------------------------------------------------------------------------------------------------


def ended(kernel: Kernel, *, starved: float, elapsed: float = 1.0, gil: float = 0.0) -> list[float] | None:
    clock = Clock()
    clock.started, clock.last = 100.1, 100.1 + elapsed
    delay = Delay(kernel.pauses, kernel.probe, 0.0)
    delay.starved, delay.gil, delay._sure = starved, gil, True
    return delay.total(clock, answered=True)


@pytest.mark.parametrize(
    ("starved", "limit", "expected"),
    [
        (0.4, 0.0, [0.0, 0.0, 0.1, 0.4, 0.0]),
        (0.4, 0.3, [0.0, 0.0, 0.1, 0.1, 0.3]),
        (0.4, 1.7, [0.0, 0.0, 0.1, 0.0, 0.4]),
        (9.0, 9.0, [0.0, 0.0, 0.1, 0.0, 1.0]),
        (0.4, None, [0.0, 0.0, 0.5, 0.0, 0.0]),
        (0.0005, 0.3, [0.0, 0.0, 0.1, 0.0, 0.0]),
    ],
)
def test_what_a_call_lost_is_divided(
    kernel: Kernel, starved: float, limit: float | None, expected: list[float]
) -> None:
    kernel.throttled = 7.0
    kernel.wake(100.0, 0.0)
    kernel.throttled = None if limit is None else 7.0 + limit
    assert ended(kernel, starved=starved, gil=0.1) == pytest.approx(expected)


def test_a_limit_that_shrinks_is_another_groups(kernel: Kernel) -> None:
    kernel.throttled = 7.0
    kernel.wake(100.0, 0.0)
    kernel.throttled = 1.0
    assert ended(kernel, starved=0.4) == pytest.approx([0.0, 0.0, 0.0, 0.4, 0.0])


def test_what_the_group_before_was_kept_from_is_not_this_ones(kernel: Kernel) -> None:
    kernel.throttled = 1.0
    kernel.wake(100.0, 0.0)
    kernel.moved, kernel.throttled = True, 50.0
    kernel.wake(120.0, 0.1, starved=0.1)
    kernel.throttled = 50.1
    assert ended(kernel, starved=0.4) == pytest.approx([0.0, 0.0, 0.0, 0.3, 0.1])


def test_a_collection_that_was_kept_from_running_is_divided_too(kernel: Kernel) -> None:
    kernel.wake(100.0, 0.0)
    pauses = kernel.pauses
    pauses.alert = True
    pauses._callback("start", {})
    time.sleep(0.2)  # as good as not being run: no processor time
    pauses._callback("stop", {})
    clock = Clock()
    clock.last = time.perf_counter()
    clock.started = clock.last - 0.3
    delay = Delay(pauses, kernel.probe, 0.0)
    event_loop, gc, gil, cpu, throttled = delay.total(clock, answered=True) or []
    assert gc == pytest.approx(0.0, abs=0.05)
    assert cpu == pytest.approx(0.2, abs=0.1)
    assert (event_loop, gil, throttled) == (0, 0, 0)
