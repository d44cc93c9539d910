"""So many calls in a process of their own, and what memory it held meanwhile: `python -m benchmarks.cost.long_run N`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.cost import memory
from benchmarks.cost.telemetry import Providers

SAMPLES = 100


def resident() -> int:
    """Bytes; 0 where that cannot be known."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main() -> None:
    calls = int(sys.argv[1])
    providers = Providers()
    client = memory.client()
    found: list[int] = []
    with providers.plugin():
        for number in range(SAMPLES):
            for call in range(calls // SAMPLES):
                client.kv.get(f"benchmark/{number}/{call}")  # a new key each
            found.append(resident())
            providers.reader.get_metrics_data()  # as an exporter would, now and then
    settled = found[SAMPLES // 10 :]
    middle = (len(settled) - 1) / 2
    mean = sum(settled) / len(settled)
    slope = sum((index - middle) * (value - mean) for index, value in enumerate(settled))
    slope /= sum((index - middle) ** 2 for index in range(len(settled)))
    print(
        json.dumps(
            {
                "before": settled[0],
                "after": settled[-1],
                "growth": settled[-1] / settled[0] if settled[0] else float("nan"),
                "slope": slope / (calls // SAMPLES),
            }
        )
    )
    providers.shutdown()


if __name__ == "__main__":
    main()
