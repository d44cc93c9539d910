"""Ready to run, and not run: by the kernel's word, here and where it says less."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest

from otel_consul.local_delay import probe as probe_module
from otel_consul.local_delay import scheduler
from otel_consul.local_delay.callers import CallerClocks
from otel_consul.local_delay.calls import Delay
from otel_consul.local_delay.pauses import Pauses
from otel_consul.local_delay.probe import Probe
from otel_consul.local_delay.scheduler import CpuLimit, run_delay
from otel_consul.phases import Clock

linux = pytest.mark.skipif(not scheduler.AVAILABLE, reason="this kernel does not say how long a thread was ready")


@pytest.fixture(autouse=True)
def _no_files() -> Iterator[None]:
    scheduler.close()
    yield
    scheduler.close()


@linux
def test_a_thread_that_sleeps_is_not_ready() -> None:
    native = threading.get_native_id()
    before = run_delay(native)
    time.sleep(0.2)
    after = run_delay(native)
    assert before is not None
    assert after is not None
    assert 0 <= after - before < 0.15


@linux
def test_of_a_thread_that_has_ended_nothing_is_known() -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(threading.get_native_id()))
    thread.start()
    thread.join()
    time.sleep(0.05)  # the kernel's own end of it
    assert run_delay(found[0]) is None
    assert run_delay(None) is None


@linux
def test_no_file_is_left_open_and_none_of_anothers_is_closed() -> None:
    run_delay(threading.get_native_id())
    ((file, _, _),) = scheduler._files.values()
    os.close(file)  # as a program that becomes a daemon does
    theirs = os.open(os.devnull, os.O_RDONLY)
    try:
        assert theirs == file, "the number is used again"
        assert run_delay(threading.get_native_id()) is None, "what is read there is no answer"
        os.fstat(theirs)
        assert run_delay(threading.get_native_id()) is not None
        scheduler.close()
        assert not scheduler._files
        os.fstat(theirs)
    finally:
        os.close(theirs)


@linux
def test_few_files_are_kept() -> None:
    natives: list[int] = []
    done = threading.Event()
    ready = threading.Barrier(41)

    def work() -> None:
        natives.append(threading.get_native_id())
        ready.wait(10)
        done.wait(10)

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    ready.wait(10)
    assert all(run_delay(native) is not None for native in natives)
    assert len(scheduler._files) <= 16
    done.set()
    for thread in threads:
        thread.join()
    scheduler.close()
    assert not scheduler._files


# --- the control group's limit ------------------------------------------------------------------------------------------


class Machine:
    """The files by which a kernel tells of control groups."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.root = folder / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.root.mkdir()

    def tell(self, groups: str, mounts: str) -> None:
        (self.proc / "self" / "cgroup").write_text(groups)
        (self.proc / "self" / "mountinfo").write_text(mounts.format(root=self.root))

    def group(self, path: str, limit: str, stat: str) -> None:
        folder = self.root / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        name = "cpu.max" if " " in limit or limit == "max" else "cpu.cfs_quota_us"
        (folder / name).write_text(limit)
        (folder / "cpu.stat").write_text(stat)

    @property
    def limit(self) -> CpuLimit:
        return CpuLimit(str(self.proc))


V1 = "33 24 0:30 {at} {{root}} rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "31 23 0:28 {at} {{root}} rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_version(machine: Machine) -> None:
    machine.tell("4:memory:/else\n3:cpu,cpuacct:/pod\n0::/\n", V1.format(at="/"))
    machine.group("/pod", "20000", "nr_periods 7\nnr_throttled 3\nthrottled_time 1500000000\n")
    assert machine.limit.throttled() == pytest.approx(1.5)


def test_the_second_version(machine: Machine) -> None:
    machine.tell("0::/kube/pod\n", V2.format(at="/"))
    machine.group("/kube/pod", "20000 100000", "usage_usec 9\nnr_throttled 3\nthrottled_usec 2500000\n")
    assert machine.limit.throttled() == pytest.approx(2.5)


def test_a_limit_of_the_group_above_counts_too(machine: Machine) -> None:
    machine.tell("0::/kube/pod\n", V2.format(at="/"))
    machine.group("/kube", "50000 100000", "throttled_usec 1000000\n")
    machine.group("/kube/pod", "20000 100000", "throttled_usec 2500000\n")
    assert machine.limit.throttled() == pytest.approx(3.5)


@pytest.mark.parametrize(("groups", "at"), [("0::/\n", "/"), ("0::/docker/abc\n", "/docker/abc"), ("0::/../x\n", "/")])
def test_inside_a_container_its_own_group_is_the_whole_hierarchy(machine: Machine, groups: str, at: str) -> None:
    machine.tell(groups, V2.format(at=at))
    machine.group("/", "20000 100000", "throttled_usec 4000000\n")
    assert machine.limit.throttled() == pytest.approx(4.0)


def test_without_a_limit_it_costs_nothing(machine: Machine) -> None:
    machine.tell("0::/pod\n", V2.format(at="/"))
    machine.group("/pod", "max", "throttled_usec 0\n")
    assert machine.limit.throttled() == 0
    machine.tell("3:cpu,cpuacct:/pod\n", V1.format(at="/"))
    machine.group("/pod", "-1", "throttled_time 0\n")
    assert machine.limit.throttled() == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda machine: (machine.proc / "self" / "cgroup").unlink(),
        lambda machine: (machine.proc / "self" / "mountinfo").write_text("no such mount\n"),
        lambda machine: (machine.root / "pod" / "cpu.stat").write_text("nr_throttled 3\n"),
        lambda machine: (machine.root / "pod" / "cpu.stat").unlink(),
    ],
)
def test_what_cannot_be_read_is_not_known(machine: Machine, spoil: Callable[[Machine], object]) -> None:
    machine.tell("0::/pod\n", V2.format(at="/"))
    machine.group("/pod", "20000 100000", "throttled_usec 1\n")
    spoil(machine)
    assert machine.limit.throttled() is None


def test_a_process_that_is_moved_is_found_again(machine: Machine) -> None:
    machine.tell("0::/pod\n", V2.format(at="/"))
    machine.group("/pod", "20000 100000", "throttled_usec 9000000\n")
    machine.group("/other", "20000 100000", "throttled_usec 1000000\n")
    limit = machine.limit
    machine.tell("0::/other\n", V2.format(at="/"))
    assert limit.find()
    assert limit.throttled() == pytest.approx(1.0)
    assert not limit.find()


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
    delay = Delay(kernel.pauses, 0.0)
    delay._probe = kernel.probe
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
    delay = Delay(pauses, 0.0)
    delay._probe = kernel.probe
    event_loop, gc, gil, cpu, throttled = delay.total(clock, answered=True) or []
    assert gc == pytest.approx(0.0, abs=0.05)
    assert cpu == pytest.approx(0.2, abs=0.1)
    assert (event_loop, gil, throttled) == (0, 0, 0)
