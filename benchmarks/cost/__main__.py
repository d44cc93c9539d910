"""`python -m benchmarks.cost`: measure, print the table, with the targets beside."""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.cost.table import DOCUMENT, SECTIONS, Row, machine, markdown, summary, text
from benchmarks.cost.timing import QUICK, Effort

STATES = ("everything", "phases-off", "local-delay-off", "not-sampled", "no-sdk", "suppressed", "excluded")


def sections() -> dict[int, Callable[[Effort], list[Row]]]:
    from benchmarks.cost import growth, others, percall, startup, states

    return {1: percall.run, 2: states.run, 3: growth.run, 4: startup.run, 5: others.run}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.profile:
        _profile(options.profile)
        return 0
    effort = replace(QUICK if options.quick else Effort(), long=options.long)
    began = time.monotonic()
    rows: list[Row] = []
    for number, section in sections().items():
        if options.section and number not in options.section:
            continue
        print(f"{number}. {SECTIONS[number]} ...", file=sys.stderr, flush=True)
        found = section(effort)
        print(text(found), flush=True)  # a run that is stopped has shown something
        rows += found
    print(f"\n{summary(rows)}, in {time.monotonic() - began:.0f} s. {machine()}")
    if options.markdown:
        DOCUMENT.write_text(markdown(rows, _command(options)), encoding="utf-8")
        print(f"Written: {DOCUMENT}")
    return 0


def _command(options: argparse.Namespace) -> str:
    flags = [f"--{name}" for name in ("quick", "long") if getattr(options, name)]
    return " ".join(["python -m benchmarks.cost --markdown", *flags])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description="What the plugin costs.")
    parser.add_argument("--quick", action="store_true", help="under a minute, and coarser")
    parser.add_argument("--long", action="store_true", help="an hour's worth of calls (3.6 million) for memory")
    parser.add_argument("--markdown", action="store_true", help="write docs/cost.md as well")
    parser.add_argument("--section", type=int, action="append", choices=list(SECTIONS), help="only this one")
    parser.add_argument("--profile", choices=STATES, metavar="STATE", help=f"where the time goes: {', '.join(STATES)}")
    return parser


def _profile(state: str, calls: int = 20_000) -> None:
    from benchmarks.cost import states

    with states.state(state) as run:
        run(500)
        profile = cProfile.Profile()
        profile.enable()
        run(calls)
        profile.disable()
    print(f"{calls:,} calls of kv.get, state {state}; the profiler itself slows down small functions most.")
    pstats.Stats(profile).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    sys.exit(main())
