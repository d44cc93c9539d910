"""The garbage collector may run at any moment, and finalizers let other threads run: nothing may crash or stand still."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from otel_consul.stacks import frames

HEAD = """
import asyncio, gc, os, threading, time
from weakref import ref
from otel_consul.stacks import frames
from otel_consul.stacks import waiters

class Finalized:
    def __init__(self):
        self.me = self
    def __del__(self):
        time.sleep(0.0001)  # as closing a socket: other threads run
"""
THREADS_START = """
def start_threads():
    while True:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

for _ in range(30):  # each needs a frame object, which may start a collection
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
for _ in range(2):
    threading.Thread(target=start_threads, daemon=True).start()

def look():
    frames.of_threads()
"""
THREADS_RETURN = """
def deep(levels):
    if levels:
        return deep(levels - 1)
    time.sleep(0.0005)

def come_and_go():
    while True:
        thread = threading.Thread(target=deep, args=(100,))
        thread.start()
        thread.join()

for _ in range(8):
    threading.Thread(target=come_and_go, daemon=True).start()

def look():
    threads = frames.of_threads()
    for thread in list(threads):
        waiters.stack(thread, None, threads)
"""
COROUTINES_RETURN = """
tasks = []

async def deep(levels):
    if levels:
        return await deep(levels - 1)
    await asyncio.sleep(0.0001)

async def come_and_go():
    while True:
        tasks[:] = [asyncio.create_task(deep(50)) for _ in range(10)]
        await asyncio.gather(*tasks)

threading.Thread(target=asyncio.run, args=(come_and_go(),), daemon=True).start()

def look():
    for task in list(tasks):
        waiters.stack(ref(task), None, {})
"""
LOOK = """
gc.set_threshold(20)
end = time.monotonic() + 2
while time.monotonic() < end:
    Finalized()
    look()
print("alive", gc.isenabled(), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("life", [THREADS_START, THREADS_RETURN, COROUTINES_RETURN], ids=["start", "return", "await"])
def test_looking_at_others_while_they_run_and_garbage_is_collected(life: str) -> None:
    program = HEAD + life + LOOK
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "alive True\n"), done.stderr


@pytest.fixture(params=[True, False], ids=["collector on", "collector off"])
def enabled(request: pytest.FixtureRequest) -> Iterator[bool]:
    if not request.param:
        gc.disable()
    yield bool(request.param)
    gc.enable()


def test_the_collector_is_as_it_was(enabled: bool) -> None:
    lines = frames.stack(frames.of_threads()[threading.get_ident()])
    assert test_the_collector_is_as_it_was.__code__ in [code for _, code, _ in lines]
    assert gc.isenabled() is enabled


def test_the_collector_is_as_it_was_after_a_failure(enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> None:
        raise MemoryError

    monkeypatch.setattr(sys, "_current_frames", refuses)
    with pytest.raises(MemoryError):
        frames.of_threads()
    assert gc.isenabled() is enabled
