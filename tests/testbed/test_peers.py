"""How two runs of a suite are compared; the suites themselves are run by `make peers`."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed import peers


def test_only_what_ends_otherwise_each_time_alike_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter(
        [
            {"same": "passed", "broken": "passed", "unsteady": "passed", "gone": "passed"},
            {"same": "passed", "broken": "failure", "unsteady": "failure"},
            {"same": "passed", "broken": "passed", "unsteady": "failure", "gone": "passed"},
        ]
    )
    monkeypatch.setattr(peers, "sources", lambda *_: Path())
    monkeypatch.setattr(peers, "environment", lambda *_: Path())
    monkeypatch.setattr(peers, "results", lambda *_, on: next(runs))
    assert peers.compare("peer==1") == [
        "peer==1: broken is failure with the plugin, passed without",
        "peer==1: gone is None with the plugin, passed without",
    ]
