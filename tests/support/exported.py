"""Everything the plugin sends out by OTLP, and every line it logs: what a search for secrets looks at."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_consul import ConsulInstrumentor
from testbed.otlp_receiver import OtlpReceiver

TOKEN = "5ec7e7aa-0000-4000-8000-00000000t0ke"
VALUE = "5ec7e7-kv-value"
SESSION = "5ec7e7bb-1111-4111-8111-111111111111"
ACL_SECRET = "5ec7e7cc-2222-4222-8222-222222222222"
SECRETS = (TOKEN, VALUE, SESSION, ACL_SECRET)


@dataclass
class Exported:
    """Providers that export by OTLP, with the plugin on them."""

    receiver: OtlpReceiver
    logged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        resource, end = Resource.create({"service.name": "secrets"}), self.receiver.endpoint
        self.tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        spans = BatchSpanProcessor(OTLPSpanExporter(f"{end}/v1/traces"), max_queue_size=100_000)
        self.tracers.add_span_processor(spans)
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{end}/v1/metrics"), export_interval_millis=3600_000)
        self.meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self.loggers = self._log_to_otlp(resource)

    def _log_to_otlp(self, resource: Resource) -> Any:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{self.receiver.endpoint}/v1/logs")))
        self.handlers: list[logging.Handler] = [LoggingHandler(logging.DEBUG, provider), _Lines(self.logged)]
        for handler in self.handlers:
            logging.getLogger("otel_consul").addHandler(handler)
        return provider

    def instrument(self, **settings: Any) -> None:
        ConsulInstrumentor().instrument(
            tracer_provider=self.tracers, meter_provider=self.meters, logger_provider=self.loggers, **settings
        )

    def flush(self) -> None:
        for provider in (self.tracers, self.meters, self.loggers):
            assert provider.force_flush()

    def assert_clean(self, *secrets: str) -> None:
        self.flush()
        assert self.receiver.raw
        for secret in secrets or SECRETS:
            for raw in self.receiver.raw:
                at = raw.body.find(secret.encode())
                assert at < 0, f"{raw.path}: {raw.body[max(0, at - 200) : at + 80]!r}"
            assert not [line for line in self.logged if secret in line]

    def shutdown(self) -> None:
        for handler in self.handlers:
            logging.getLogger("otel_consul").removeHandler(handler)
        for provider in (self.tracers, self.meters, self.loggers):
            provider.shutdown()


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))  # with its traceback
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
