"""Ask a running Grafana whether it took the dashboards, and for the data of every target: `python import_check.py`.

For the stack of compose.yaml, after a minute of data. Only the standard library. Not run by us (no Docker here).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("dashboards")
SOURCES = {"${prometheus_datasource}": "prometheus", "${tempo_datasource}": "tempo"}
"""The uids of provisioning/datasources."""
RANGE_SECONDS = 900
FILLED = {
    "$__rate_interval": "30s",
    "$__range": f"{RANGE_SECONDS}s",
    "$job": ".*",
    "$service": ".*",
    "$operation": ".*",
}


def ask(url: str, body: object = None) -> Any:
    """GET, or POST with a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def queries(panel: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The targets of a panel as the browser sends them, All chosen in every variable."""
    for target in panel["targets"]:
        text = json.dumps(target)
        for name, value in FILLED.items():
            text = text.replace(name, value)
        query = json.loads(text)
        query["datasource"]["uid"] = SOURCES[query["datasource"]["uid"]]
        yield query | {"intervalMs": 15000, "maxDataPoints": 100}


def has_data(grafana: str, query: dict[str, Any]) -> bool:
    """Whether a target's data source answers with anything."""
    source = query["datasource"]
    if source["type"] == "tempo":  # Grafana's server does not search traces: the browser does, by this way
        end = int(time.time())
        search = {"q": query["query"], "limit": query["limit"], "start": end - RANGE_SECONDS, "end": end}
        proxy = f"{grafana}/api/datasources/proxy/uid/{source['uid']}/api/search"
        return bool(ask(f"{proxy}?{urllib.parse.urlencode(search)}").get("traces"))
    body = {"queries": [query], "from": f"now-{RANGE_SECONDS}s", "to": "now"}
    result = ask(f"{grafana}/api/ds/query", body)["results"][query["refId"]]
    return any(column for frame in result.get("frames", []) for column in frame["data"]["values"])


def check(grafana: str, path: Path) -> Iterator[str]:
    """What is wrong with one dashboard."""
    wanted = json.loads(path.read_text("utf-8"))
    try:
        got = ask(f"{grafana}/api/dashboards/uid/{wanted['uid']}")["dashboard"]
    except urllib.error.HTTPError as error:
        yield f"{wanted['uid']}: not there ({error.code})"
        return
    if [panel["title"] for panel in got["panels"]] != [panel["title"] for panel in wanted["panels"]]:
        yield f"{wanted['uid']}: other panels than in {path.name}"
    for panel in got["panels"]:
        for query in queries(panel):
            where = f"{wanted['uid']} / {panel['title']} / {query['refId']}"
            try:
                if not has_data(grafana, query):
                    yield f"{where}: no data"
            except urllib.error.HTTPError as error:
                yield f"{where}: {error.code} {error.read().decode(errors='replace')[:300]}"


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grafana", nargs="?", default="http://localhost:3000")
    grafana = parser.parse_args().grafana.rstrip("/")
    wrong = [text for path in sorted(FOLDER.glob("*.json")) for text in check(grafana, path)]
    for text in wrong:
        print(text)  # noqa: T201
    print(f"{len(wrong)} problems")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
