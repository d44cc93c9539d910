"""Write the dashboards: `python -m examples.grafana.build`. With `--check`, only tell whether they are up to date."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from examples.grafana.dashboards import all_dashboards

FOLDER = Path(__file__).with_name("dashboards")


def build() -> dict[Path, str]:
    """The text of every file."""
    built = [json.loads(json.dumps(board.build(), cls=JSONEncoder)) for board in all_dashboards()]
    return {
        FOLDER / f"{board['uid']}.json": json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for board in built
    }


def outdated() -> list[str]:
    """The files that differ from what the code says, and those it does not know."""
    files = build()
    changed = [path.name for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text]
    return changed + [path.name for path in FOLDER.glob("*.json") if path not in files]


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(prog="python -m examples.grafana.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is out of date")
    if parser.parse_args().check:
        for name in (stale := outdated()):
            sys.stderr.write(f"{name} is out of date: run `python -m examples.grafana.build`\n")
        return 1 if stale else 0
    for path, text in build().items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
