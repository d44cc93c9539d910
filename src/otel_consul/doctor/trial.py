"""The plugin switched on in this very process, with providers whose output stays here."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Final

from otel_consul.clients.client import Client
from otel_consul.clients.seam import Seam
from otel_consul.doctor.sdk import has_sdk
from otel_consul.instrumentor import ConsulInstrumentor

_ODD: Final = "is not of a shape otel_consul knows"
_WATCHED: Final = ("urllib3", "aiohttp", "tornado.simple_httpclient")
_COARSER: Final = "phases of Consul calls are coarser"


class Trial:
    """`with Trial() as trial:` the plugin is on. Without an SDK it observes, and nothing is kept."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        """What the plugin logged."""
        self.spans: Any = None
        self._reader: Any = None
        self._options: dict[str, Any] = {}
        self.tracers: Any = None
        self.meters: Any = None
        if has_sdk():
            self._make_providers()

    def _make_providers(self) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        resource = Resource.create()
        self.spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.meters = MeterProvider([self._reader], resource=resource, shutdown_on_exit=False)

    def __enter__(self) -> Trial:  # noqa: PYI034 -- typing has Self from 3.11 on
        self._handler = _Lines(self.lines)
        logger = logging.getLogger("otel_consul")
        logger.addHandler(self._handler)
        self._level, self._propagate = logger.level, logger.propagate
        logger.setLevel(logging.INFO)
        logger.propagate = False
        instrumentor = ConsulInstrumentor()
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()
        providers = {"tracer_provider": self.tracers, "meter_provider": self.meters} if self.tracers is not None else {}
        instrumentor.instrument(skip_dep_check=True, **providers)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        ConsulInstrumentor().uninstrument()
        logger = logging.getLogger("otel_consul")
        logger.removeHandler(self._handler)
        logger.setLevel(self._level)
        logger.propagate = self._propagate

    def shape(self, client: Client) -> str | None:
        """What is unknown of a library's shape, once it is imported; None if the plugin has found its way in."""
        try:
            import_module(client.name)
        except Exception as exc:  # noqa: BLE001 -- a library may fail in any way
            return f"import {client.name} raises {type(exc).__name__}"
        try:
            module = import_module(client.module)
        except Exception as exc:  # noqa: BLE001
            missing = isinstance(exc, ModuleNotFoundError) and (exc.name or "").startswith(client.name)
            return f"it has no {client.module}" if missing else f"import {client.module} raises {type(exc).__name__}"
        owner = getattr(module, client.owner, None)
        if owner is None:
            return f"it has no {client.module}.{client.owner}"
        if isinstance(vars(owner).get(client.attribute) if isinstance(owner, type) else None, Seam):
            return None
        said = next((line for line in self.lines if _ODD in line and f" {client.name} " in line), "")
        return said.partition("(")[2].rpartition(")")[0] or f"{client.module}.{client.owner} is another"

    def load_http(self) -> None:
        """Import the HTTP libraries whose signals the plugin uses, so that it tells what it does not find there."""
        for module in _WATCHED:
            try:
                if find_spec(module.partition(".")[0]) is not None:
                    import_module(module)
            except Exception as exc:  # noqa: BLE001 -- as above
                name = module.partition(".")[0]
                self.lines.append(f"import {name} raises {type(exc).__name__}; {_COARSER} without it")

    @property
    def odd(self) -> list[str]:
        """What was said of HTTP libraries."""
        return [line for line in self.lines if _COARSER in line]

    def finished(self) -> list[Any]:
        """The spans of Consul calls so far."""
        spans = self.spans.get_finished_spans() if self.spans is not None else ()
        return [span for span in spans if span.instrumentation_scope.name == "otel_consul"]

    def metrics(self) -> Any:
        """The metrics as they are now, and how many metrics and points that is."""
        return self._reader.get_metrics_data() if self._reader is not None else None


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage().rstrip("."))
