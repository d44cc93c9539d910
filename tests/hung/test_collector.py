"""The garbage collector may run at any moment, and finalizers let other threads run: nothing may stand still for that."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from otel_consul import stacks

PROGRAM = """
import gc, os, threading, time
from otel_consul import stacks

class Finalized:
    def __init__(self):
        self.me = self
    def __del__(self):
        time.sleep(0.0001)  # as closing a socket: other threads run

def start_threads():
    while True:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

for _ in range(30):  # each needs a frame object, which may start a collection
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
for _ in range(2):
    threading.Thread(target=start_threads, daemon=True).start()
gc.set_threshold(20)
end = time.monotonic() + 2
while time.monotonic() < end:
    Finalized()
    stacks.running()
print("alive", gc.isenabled(), flush=True)
os._exit(0)
"""


def test_looking_at_all_threads_while_threads_start_and_garbage_is_collected() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "alive True\n", done.stderr


@pytest.fixture(params=[True, False], ids=["collector on", "collector off"])
def enabled(request: pytest.FixtureRequest) -> Iterator[bool]:
    if not request.param:
        gc.disable()
    yield bool(request.param)
    gc.enable()


def test_the_collector_is_as_it_was(enabled: bool) -> None:
    assert threading.get_ident() in stacks.running()
    assert gc.isenabled() is enabled


def test_the_collector_is_as_it_was_after_a_failure(enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> None:
        raise MemoryError

    monkeypatch.setattr(sys, "_current_frames", refuses)
    with pytest.raises(MemoryError):
        stacks.running()
    assert gc.isenabled() is enabled
