"""The collector's pauses as the plugin reads them, beside what the collector itself says of them."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from otel_consul.local_delay.pauses import Pauses


@pytest.fixture
def pauses() -> Iterator[Pauses]:
    pauses = Pauses()
    pauses.start()
    yield pauses
    pauses.stop()


def garbage(number: int) -> None:
    for _ in range(number):
        circle: list[Any] = []
        circle.append(circle)


def test_every_collection_is_a_pause(pauses: Pauses) -> None:
    """By itself or asked for, of whichever generation, in one go or in steps: each begins and ends."""
    told: list[str] = []

    def note(phase: str, info: Mapping[str, Any]) -> None:
        told.append(phase)

    gc.callbacks.append(note)
    try:
        garbage(20_000)
        for generation in range(3):
            before = pauses.total
            gc.collect(generation)
            assert pauses.total > before
            assert pauses.began == 0.0
    finally:
        gc.callbacks.remove(note)
    assert told[::2] == ["start"] * (len(told) // 2)
    assert told[1::2] == ["stop"] * (len(told) // 2)


@pytest.mark.skipif(sys.version_info < (3, 15), reason="the collector does not tell how long it took")
def test_they_are_as_long_as_the_collector_says(pauses: Pauses) -> None:
    start, seconds = time.perf_counter(), list[float]()

    def note(phase: str, info: Mapping[str, Any]) -> None:
        if phase == "stop":
            seconds.append(info["duration"])

    gc.callbacks.insert(0, note)
    try:
        garbage(20_000)
        keep = [[number] for number in range(200_000)]
        gc.collect()
    finally:
        gc.callbacks.remove(note)
    del keep
    assert len(seconds) > 1
    assert sum(seconds) * 0.9 <= pauses.total <= time.perf_counter() - start
