"""`ConsulInstrumentor`: switches observation on and off."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Collection
from functools import partial
from importlib.util import find_spec
from typing import Any, Final, TypeVar

from opentelemetry import metrics, trace
from opentelemetry._logs import NoOpLogger, get_logger, get_logger_provider
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_consul import clients, guard
from otel_consul.background.imports import Hook, take_back, when_imported
from otel_consul.call.recorder import Recorder
from otel_consul.call.shared import Shared
from otel_consul.clients.client import Client
from otel_consul.clients.seam import Seam
from otel_consul.deadlines import timeouts
from otel_consul.in_flight.supervision import Supervision
from otel_consul.metrics.instruments import Instruments, instruments_of
from otel_consul.semconv import SCHEMA_URL, SCOPE_NAME
from otel_consul.settings import Settings
from otel_consul.version import __version__

_logger: Final = logging.getLogger("otel_consul")
_clients: Final = clients.discover()
_PROVIDERS: Final = ("tracer_provider", "meter_provider", "logger_provider")
_T = TypeVar("_T")


class ConsulInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Observes every call of py-consul, python-consul, python-consul2 and consulate.

    `instrument` takes, as keyword arguments, the fields of `otel_consul.settings.Settings` and `tracer_provider`,
    `meter_provider`, `logger_provider` (default: the global ones). It imports no client library: a library is
    instrumented when the program imports it. Clients made before are observed too.
    """

    _seams: tuple[Seam, ...] = ()
    _hooks: tuple[Hook, ...] = ()
    _instruments: Instruments | None = None
    _recorder: Recorder | None = None
    _supervision: Supervision | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: any one of the client libraries is enough, and each is instrumented when it is imported."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        try:
            self._switch_on(kwargs)
        except Exception:
            # an instrumentor that raises makes opentelemetry-instrument give up on all the others
            _logger.exception("otel_consul could not be switched on; Consul calls are not observed")

    def _switch_on(self, options: dict[str, Any]) -> None:
        settings = Settings.build(options)
        opt_in = {part.strip() for part in os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")}
        tracers, meters, loggers = (options.get(name) for name in _PROVIDERS)
        self._instruments = _made(
            "metrics", partial(_instruments, meters), lambda: Instruments(metrics.NoOpMeter(SCOPE_NAME))
        )
        tracer = _made(
            "spans", lambda: trace.get_tracer(SCOPE_NAME, __version__, tracers, SCHEMA_URL), trace.NoOpTracer
        )
        logger = _made(
            "logs", lambda: get_logger(SCOPE_NAME, __version__, loggers, SCHEMA_URL), lambda: NoOpLogger(SCOPE_NAME)
        )
        old_names = "http" not in opt_in or "http/dup" in opt_in
        shared = Shared(settings, tracer, self._instruments, old_names=old_names)
        self._instruments.totals = shared.totals
        timeouts.apply()
        recorder = self._recorder = Recorder(shared)
        recorder.watch()
        self._supervision = Supervision(
            settings,
            shared.registry,
            shared.dropped,
            shared.background,
            tracer,
            logger,
            lambda: (
                trace.get_tracer_provider() if tracers is None else tracers,
                metrics.get_meter_provider() if meters is None else meters,
                get_logger_provider() if loggers is None else loggers,
            ),
        )
        shared.on_first_span = self._supervision.come_first
        self._supervision.start()
        self._seams = tuple(Seam(client, recorder.observer(client), recorder.transport_of) for client in _clients)
        if not any(_installed(client) for client in _clients):
            _logger.warning(
                "No Consul client library is installed (%s); otel_consul has nothing to observe",
                ", ".join(distribution for client in _clients for distribution in client.distributions),
            )
        for seam in self._seams:
            for name, do in ((seam.client.module, _apply), (seam.client.name, _check)):
                hook = partial(do, seam)
                self._hooks = (*self._hooks, hook)
                when_imported(name, hook)

    def _uninstrument(self, **kwargs: Any) -> None:
        for hook in self._hooks:
            take_back(hook)
        self._hooks = ()
        for seam in self._seams:
            seam.remove()
        self._seams = ()
        if self._supervision is not None:
            self._supervision.stop()
            self._supervision = None
        if self._instruments is not None:
            self._instruments.totals = None
            self._instruments = None
        if self._recorder is not None:
            self._recorder.stop()
            self._recorder = None
        timeouts.remove()


def _made(what: str, make: Callable[[], _T], instead: Callable[[], _T]) -> _T:
    """What `make` gives. A provider that cannot do its part must not take the others with it: then `instead`."""
    try:
        return make()
    except Exception:  # noqa: BLE001
        guard.fault(f"making {what}")
        return instead()


def _instruments(given: Any) -> Instruments:
    provider = metrics.get_meter_provider() if given is None else given
    meter = partial(metrics.get_meter, SCOPE_NAME, __version__, given, SCHEMA_URL)
    return instruments_of(provider, meter, of_global=given is None or given is metrics.get_meter_provider())


def _apply(seam: Seam, module: Any) -> None:
    """The library has been imported."""
    if seam.removed:
        return
    try:
        seam.apply(getattr(module, seam.client.owner, None))
    except Exception as exc:  # noqa: BLE001
        _say_unknown(seam.client, f"{type(exc).__name__}: {exc}")


def _check(seam: Seam, package: Any) -> None:
    """Tell when a library has been imported without the module its calls should pass."""
    client = seam.client
    if not seam.removed and getattr(package, "__file__", None) and not _found(client.module):
        _say_unknown(client, f"it has no {client.module}")


def _say_unknown(client: Client, what: str) -> None:
    _logger.warning(
        "The installed %s is not of a shape otel_consul knows (%s); its calls are not observed", client.name, what
    )


def _found(module: str) -> bool:
    """Whether a module has been imported, or can be."""
    try:
        return module in sys.modules or find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _installed(client: Client) -> bool:
    try:
        spec = find_spec(client.name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None  # a mere folder of that name is no library
