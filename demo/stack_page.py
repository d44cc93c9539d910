"""The dashboards as one small page: Debian's VictoriaMetrics comes without a user interface.

It reads the committed JSON, asks what Grafana would ask, and draws it plainly (stack_page.html).
"""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("stack_page.html")
BOARDS = Path(__file__).parents[1] / "examples" / "grafana" / "dashboards"
ORDER = ("consul-client-time", "consul-client-calls", "consul-client-releases")
ALL = '=~".*"'


def dashboards() -> list[dict[str, Any]]:
    """Titles, texts and queries, `All` chosen everywhere."""
    boards = [json.loads((BOARDS / f"{uid}.json").read_text("utf-8")) for uid in ORDER]
    return [{"title": board["title"], "panels": [_panel(panel) for panel in board["panels"]]} for board in boards]


def _panel(panel: dict[str, Any]) -> dict[str, Any]:
    """What the page needs of a panel, and its queries as Grafana would ask them."""
    drawn = {
        name: panel.get(name, []) for name in ("title", "description", "type", "gridPos", "fieldConfig", "options")
    }
    queries = [
        {
            "expr": re.sub(r'=~"\$\w+"', ALL, target["expr"])
            .replace("$__rate_interval", "10s")
            .replace("$__range", "5m"),
            "legend": target.get("legendFormat") or "",
            "instant": bool(target.get("instant")),
            "ref": target["refId"],
        }
        for target in panel["targets"]
        if "expr" in target
    ]
    return {**drawn, "transformations": panel.get("transformations", []), "queries": queries}


@contextmanager
def serving(metrics_url: str) -> Iterator[str]:
    """The address of the page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._answer(PAGE.read_bytes(), "text/html; charset=utf-8")
            elif self.path == "/dashboards":
                self._answer(json.dumps(dashboards()).encode(), "application/json")
            elif self.path.startswith("/api/v1/query"):
                try:
                    with urllib.request.urlopen(metrics_url + self.path, timeout=10) as answer:
                        self._answer(answer.read(), "application/json")
                except urllib.error.URLError as error:
                    self.send_error(502, str(error))
            else:
                self.send_error(404)

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
