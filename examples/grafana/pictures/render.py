"""Draw the dashboards for the documentation: `python -m examples.grafana.pictures.render` (a few minutes).

The committed JSON, and real answers of a real VictoriaMetrics, drawn by Grafana's own components in a headless
Chromium. Not screenshots of Grafana, and the captions say so. Needs npm, and Chromium (Debian's package `chromium`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from testbed import backends
from testbed.debian import cache_folder
from tests.dashboards.feeds import roll_out
from tests.dashboards.grafana import Dashboard, Window, load, targets
from tests.dashboards.harness import Question, everything

HERE = Path(__file__).parent
IMAGES = HERE.parents[2] / "docs" / "images"
CAPTION = (
    "Drawn from the dashboard's JSON with @grafana/ui; not a screenshot of Grafana, and bars, heatmap and tables are our own. "
    "Data: a real run of demo/release.py, a real Consul, a faulty stand-in; 1.1.0 replaced 1.0.0 in the middle."
)
CELL, HEADER, FOOTER, WIDTH = 38, 56, 34, 1600
"""As in app.jsx."""


def answers(question: Question, board: Dashboard) -> dict[str, Any]:
    """What each query of a dashboard gives, by panel and query."""
    ids = {panel["title"]: panel["id"] for panel in board["panels"]}
    return {f"{ids[target.panel]}/{target.ref}": question.raw(target) for target in targets([board])}


def bundle(work: Path) -> None:
    """app.js and app.css, with packages kept in the cache."""
    packages = cache_folder() / "pictures"
    packages.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "app.jsx", "charts.jsx"):
        shutil.copy(HERE / name, packages)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--loglevel=error"]
    subprocess.run(npm, cwd=packages, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    esbuild = packages / "node_modules" / "@esbuild" / f"{sys.platform}-{_machine()}" / "bin" / "esbuild"
    options = ["--bundle", "--minify", "--define:process.env.NODE_ENV='production'", "--log-level=error"]
    loaders = [f"--loader:.{kind}=dataurl" for kind in ("svg", "png", "gif", "woff", "woff2", "ttf", "eot")]
    options = [option.replace("'", '"') for option in options]
    subprocess.run([esbuild, "app.jsx", *options, *loaders, f"--outfile={work / 'app.js'}"], cwd=packages, check=True)  # noqa: S603
    (work / "app.css").touch()


def _machine() -> str:
    return "arm64" if os.uname().machine in {"aarch64", "arm64"} else "x64"


def _height(panel: Dashboard) -> int:
    """In rows of the grid; the traces' panel, which has no data here, is a strip (as in app.jsx)."""
    return 2 if panel["datasource"]["type"] == "tempo" else int(panel["gridPos"]["h"])


def draw(board: Dashboard, data: dict[str, Any], window: Window, caption: str, work: Path) -> Path:
    """One PNG."""
    picture = {
        "board": board,
        "answers": data,
        "range": [window.start, window.end, window.interval],
        "caption": caption,
    }
    text = json.dumps(picture).replace("</", "<\\/")
    page = (HERE / "page.html").read_text("utf-8").replace('"@PICTURE@"', text)
    (work / "page.html").write_text(page, "utf-8")
    rows = max(panel["gridPos"]["y"] + _height(panel) for panel in board["panels"])
    target = IMAGES / f"{board['uid']}.png"
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no Chromium: install Debian's package `chromium`")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1.5"]
    flags += [f"--window-size={WIDTH},{HEADER + rows * CELL + FOOTER}", "--virtual-time-budget=8000"]
    flags += [f"--user-data-dir={work / 'profile'}", f"--screenshot={target}", (work / "page.html").as_uri()]
    subprocess.run([chromium, *flags], check=True, stderr=subprocess.DEVNULL, timeout=120)  # noqa: S603
    return target


def main() -> None:
    """Feed a server, ask it everything, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="how long the story runs")
    parser.add_argument("--keep", type=Path, help="save the answers here, or draw from those saved here before")
    chosen = parser.parse_args()
    boards = load()
    IMAGES.mkdir(parents=True, exist_ok=True)
    if chosen.keep and chosen.keep.is_file():
        saved = json.loads(chosen.keep.read_text("utf-8"))
    else:
        with backends.victoria_metrics() as server:
            roll_out(server.otlp_metrics_url, chosen.seconds)
            end = time.time()
            window = Window(end - chosen.seconds, end)
            question = Question(server, window, everything(boards))
            saved = {"window": [window.start, window.end], "data": {b["uid"]: answers(question, b) for b in boards}}
        if chosen.keep:
            chosen.keep.write_text(json.dumps(saved), "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        bundle(Path(folder))
        for board in boards:
            window = Window(*saved["window"])
            path = draw(board, saved["data"][board["uid"]], window, CAPTION, Path(folder))
            sys.stdout.write(f"{path.relative_to(HERE.parents[2])}\n")


if __name__ == "__main__":
    main()
