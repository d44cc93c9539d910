"""`make stack`: the dashboards' story on this machine, without Docker, until Ctrl-C.

The checkout service of demo/release.py, its faults, and a VictoriaMetrics from Debian that takes its metrics by OTLP.
Release 1.1.0, which is worse, replaces 1.0.0 after a while, is rolled back, and so on. A small page draws
the dashboards plainly; for the real look add the address of VictoriaMetrics to a Grafana as a Prometheus data source.

With OTEL_EXPORTER_OTLP_ENDPOINT set (examples/grafana/compose.yaml) the telemetry goes there instead, and
CONSUL_HTTP_ADDR is the Consul to use.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import NoReturn

from rich.console import Console

from demo import rollout
from demo.stack_page import serving
from testbed import backends, consul
from testbed.debian import Unavailable

PORT = 8428
"""VictoriaMetrics' usual one; another is taken where it is in use."""


def play(console: Console, place: rollout.Surroundings, telemetry: Mapping[str, str], seconds: float) -> None:
    """One release after the other, for ever."""
    for release in itertools.cycle((rollout.OLD, rollout.NEW)):
        with rollout.running(release, place, telemetry) as program:
            end = time.monotonic() + seconds
            console.print(f"{time.strftime('%H:%M:%S')}  release {release} runs, for {seconds:.0f} s")
            while time.monotonic() < end:
                time.sleep(0.2)
                if not program.running:
                    raise RuntimeError(f"the program ended by itself:\n{program.tail()}")


def perform(console: Console, seconds: float) -> None:
    """Start everything, and play until somebody stops us."""
    with ExitStack() as stack:
        if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            place = stack.enter_context(rollout.surroundings(os.environ.get("CONSUL_HTTP_ADDR", "")))
            telemetry = rollout.own_telemetry()
        else:
            with console.status("Fetching VictoriaMetrics from Debian (once; some 20 MB) ..."):
                backends.server("victoria-metrics")
            with console.status("Fetching Consul from Debian (once; some 30 MB) ..."):
                _fetch_consul(console)
            with console.status("Starting ..."):
                server = stack.enter_context(backends.victoria_metrics(backends.port_like(PORT)))
                place = stack.enter_context(rollout.surroundings())
                page = stack.enter_context(serving(server.url))
            telemetry = rollout.metrics_to(server.otlp_metrics_url)
            console.print(f"Dashboards:       {page}", style="bold", markup=False)
            console.print(
                f"VictoriaMetrics:  {server.url}  (OTLP in; for Grafana a Prometheus data source)", markup=False
            )
        console.print(f"The program uses {place.near_is}. Ctrl-C ends it all.", markup=False)
        play(console, place, telemetry, seconds)


def _fetch_consul(console: Console) -> None:
    try:
        consul.find_consul()
    except Unavailable as error:
        console.print(f"No real Consul here ({error.reason}); a stand-in takes its part.", style="yellow", markup=False)


def _terminated(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.stack", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="how long a release runs (default: 120)")
    chosen = parser.parse_args()
    console = Console(highlight=False, emoji=False)
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a script it is ignored
    try:
        perform(console, chosen.seconds)
    except Unavailable as error:
        console.print(f"No VictoriaMetrics here: {error.reason}", style="bold red", markup=False)
        return 2
    except RuntimeError as error:
        console.print(str(error), style="bold red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("Stopped; nothing of it is left running.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
