"""OpenTelemetry instrumentation of Python Consul clients.

    from otel_consul import ConsulInstrumentor

    ConsulInstrumentor().instrument()

    import consul
    consul.Consul().kv.get("greeting")   # a span `kv.get` that says where the time went

Or, with nothing in the program at all: ``opentelemetry-instrument python app.py``. See `ConsulInstrumentor` and
`otel_consul.settings.Settings` for the options, `otel_consul.semconv` for every name that is exported.
"""

from otel_consul.hooks import Call, RequestHook, Response, ResponseHook
from otel_consul.in_flight.dump import OpenCall, dump_open_calls, open_calls
from otel_consul.instrumentor import ConsulInstrumentor
from otel_consul.version import __version__

__all__ = [
    "Call",
    "ConsulInstrumentor",
    "OpenCall",
    "RequestHook",
    "Response",
    "ResponseHook",
    "__version__",
    "dump_open_calls",
    "open_calls",
]
