"""Run in a process that was started as opentelemetry-instrument starts one: says what it finds there, and ends at once.

`python -m otel_consul.doctor.launched FD` writes one JSON object to the file descriptor. It makes no call, and leaves by
`os._exit`: no exporter sends anything.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from typing import Any, Final

from opentelemetry import metrics, trace

from otel_consul.instrumentor import ConsulInstrumentor

_CHILD_SECONDS: Final = 2.0


def _instance(provider: Any) -> str:
    attributes = getattr(getattr(provider, "resource", None), "attributes", None) or {}
    return str(attributes.get("service.instance.id", ""))


def _exporters(provider: Any) -> list[str]:
    processors = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())
    found = []
    for processor in processors:
        exporter = getattr(processor, "span_exporter", None) or getattr(
            getattr(processor, "_batch_processor", None), "_exporter", None
        )
        found.append(type(exporter if exporter is not None else processor).__name__)
    return found


def _readers(provider: Any) -> list[str]:
    readers: Any = getattr(provider, "_all_metric_readers", None) or getattr(provider, "_metric_readers", ())
    found = []
    for reader in list(readers):
        exporter = getattr(reader, "_exporter", None)
        found.append(type(exporter if exporter is not None else reader).__name__)
    return found


def _in_child(provider: Any) -> str:
    """The `service.instance.id` of a forked child; `?` if it cannot be told."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, _instance(provider).encode())
        finally:
            os._exit(0)
    os.close(write)
    if not select.select([read], [], [], _CHILD_SECONDS)[0]:
        os.kill(child, signal.SIGKILL)
        return "?"
    return os.read(read, 1000).decode()


def main() -> None:
    """Tell what is so."""
    provider, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
    green = ""
    for library, check in (("gevent", "gevent.monkey"), ("eventlet", "eventlet.patcher")):
        module = sys.modules.get(check)
        patched = getattr(module, "is_module_patched", None) or getattr(module, "is_monkey_patched", None)
        if patched is not None and patched("socket"):
            green = library
    report = {
        "instrumented": ConsulInstrumentor()._recorder is not None,
        "has_sdk": hasattr(provider, "add_span_processor"),
        "exporters": [*_exporters(provider), *_readers(meters)],
        "ddtrace": "ddtrace" in sys.modules,
        "green": green,
        "instance": _instance(provider),
        # a child of a patched process may not get that far
        "instance_in_child": _in_child(provider) if hasattr(os, "fork") and not green else "?",
    }
    os.write(int(sys.argv[1]), json.dumps(report).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
