"""What is exported can be encoded: an exporter would drop an attribute that cannot, and log an error that quotes it."""

from __future__ import annotations

from typing import Any

import pytest

from otel_consul.call.call_types import server_attributes
from otel_consul.stacks import call_site, walk
from testbed.stub_agent import StubAgent
from tests.support.telemetry import Telemetry

consul = pytest.importorskip("consul.std")
FOREIGN = "\udcff"
"""What Python makes of a byte that is no text: of a file's name, or an environment variable's value."""


@pytest.mark.parametrize("capture", ["full", "prefix"])
def test_a_key_and_a_data_centre(capture: str, telemetry: Telemetry, stub: StubAgent) -> None:
    telemetry.instrument(capture_keys=capture)
    with pytest.raises(UnicodeEncodeError):
        consul.Consul(port=stub.port).kv.get(f"a{FOREIGN}/b", dc=f"ä{FOREIGN}")
    attributes = dict(telemetry.span.attributes or {})
    assert attributes["consul.kv.key"] == ("a\\udcff/b" if capture == "full" else "a\\udcff")
    assert attributes["consul.datacenter"] == "ä\\udcff"


def test_a_server_and_a_peer(instrumented: Telemetry) -> None:
    assert server_attributes(f"http://{FOREIGN}host:1")["server.address"] == "\\udcffhost"
    assert server_attributes(f"unix:///{FOREIGN}")["server.address"] == "/\\udcff"


def test_a_file_and_a_function() -> None:
    code = compile("import sys\ndef f():\n  return sys._getframe()\nframe = f()", f"{FOREIGN}.py", "exec")
    found: dict[str, Any] = {"__name__": "program"}
    exec(code, found)
    (_, outer), (_, inner) = walk.of_thread(found["frame"])[-2:]
    assert inner.file == call_site.line((found["f"].__code__, 0)).file == "\\udcff.py"
    assert str(outer).isascii()
