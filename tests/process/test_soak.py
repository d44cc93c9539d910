"""Everything at once, for a while: the process lives, and no call stays open."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.stub_agent import StubAgent
from tests.process.conftest import Run

pytest.importorskip("consul.aio")
pytest.importorskip("aiohttp")


@pytest.mark.slow
def test_it_lives_through_everything_at_once(run: Run, stub: StubAgent) -> None:
    stub.fault(delay=0.01)  # so that calls stall, and stacks are read

    done = run(Path(__file__).with_name("soak.py").read_text(), env={"SOAK_SECONDS": "8"})

    kinds = ["call", "call_in_a_new_thread", "look", "many_at_once", "switch"]
    assert (done.code, done.out) == (0, f"{kinds}, open: 0\n"), done.err
