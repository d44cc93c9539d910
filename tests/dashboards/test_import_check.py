"""examples/grafana/import_check.py against a stand-in that speaks like Grafana: what it asks, what it finds wrong."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from examples.grafana import import_check
from tests.dashboards.grafana import Dashboard, load, targets

BOARDS = {board["uid"]: board for board in load()}
Asked = list[tuple[str, str]]


@contextmanager
def stand_in(boards: dict[str, Dashboard], empty: str = "\0") -> Iterator[tuple[str, Asked]]:
    """Its address, and what it was asked: data source and query. A query that has `empty` in it gets no data."""
    asked: Asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, search = self.path.partition("?")
            if path == "/api/datasources/proxy/uid/tempo/api/search":
                asked.append(("tempo", dict(urllib.parse.parse_qsl(search))["q"]))
                self._answer(200, {"traces": [{"traceID": "1"}]})
                return
            board = boards.get(path.removeprefix("/api/dashboards/uid/"))
            self._answer(*((200, {"dashboard": board}) if board else (404, {})))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            (query,) = body["queries"]
            # As Grafana's server: a search of traces is not for it, but for the browser.
            if self.path != "/api/ds/query" or query["datasource"]["type"] != "prometheus":
                self._answer(400, {})
                return
            asked.append((query["datasource"]["uid"], query["expr"]))
            values = [] if empty in query["expr"] else [[1], [2]]
            frames = [{"data": {"values": values}}]
            self._answer(200, {"results": {query["refId"]: {"frames": frames}}})

        def _answer(self, status: int, body: Any) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def run(grafana: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    monkeypatch.setattr("sys.argv", ["import_check.py", grafana])
    return import_check.main(), capsys.readouterr().out.splitlines()


def test_it_asks_for_every_target(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with stand_in(BOARDS) as (grafana, asked):
        assert run(grafana, monkeypatch, capsys) == (0, ["0 problems"])
    everything = [*targets(list(BOARDS.values())), *targets(list(BOARDS.values()), "tempo")]
    assert len(asked) == len(everything)
    assert not [query for _, query in asked if "$" in query]
    assert {source for source, _ in asked} == {"prometheus", "tempo"}


def test_it_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    some = {uid: board for uid, board in BOARDS.items() if uid != "consul-client-calls"}
    with stand_in(some, empty="process_memory") as (grafana, _):
        status, said = run(grafana, monkeypatch, capsys)
    assert status == 1
    assert said == [
        "consul-client-calls: not there (404)",
        "consul-client-releases / Memory of one process / A: no data",
        "2 problems",
    ]


def test_the_sources_are_those_provisioned() -> None:
    yaml = pytest.importorskip("yaml")
    file = Path(import_check.__file__).with_name("provisioning") / "datasources" / "datasources.yaml"
    provisioned = {source["uid"]: source["type"] for source in yaml.safe_load(file.read_text("utf-8"))["datasources"]}
    assert {f"${{{kind}_datasource}}": uid for uid, kind in provisioned.items()} == import_check.SOURCES
