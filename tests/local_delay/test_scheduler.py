"""Ready to run, and not run: by the kernel's word, here and where it says less."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_consul.local_delay import scheduler
from otel_consul.local_delay.scheduler import CpuLimit, run_delay

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
