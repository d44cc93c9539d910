"""What is the same for every call of one type, worked out once: names, start attributes, metric attributes, totals."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote, urlsplit

from otel_consul import semconv
from otel_consul.consul_api.operations import Operation
from otel_consul.consul_api.request import Query, read
from otel_consul.metrics.series import Series, Started
from otel_consul.metrics.totals import Totals
from otel_consul.redact import encodable
from otel_consul.semconv import Outcome
from otel_consul.settings import Settings
from otel_consul.transports.limits import Limits

_MOST_TYPES: Final = 4096
"""A program has a few dozen; beyond this (a client with an address per call) the address is left out of metrics."""
_MOST_LIMITS: Final = 64
"""Blocking queries may have time-outs of their own, each."""
_MOST_OUTCOMES: Final = 64
"""A call ends in a dozen ways; beyond this (exception classes made on the fly) metrics name the error no more."""
_OTHER_ERROR: Final = "_OTHER"
"""What OpenTelemetry calls an error that is not told apart."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class LimitedCallType:
    """The calls of one type that have the same time-outs."""

    __slots__ = ("attributes", "limits", "started")

    def __init__(self, call_type: CallType, limits: Limits) -> None:
        self.limits = limits
        self.attributes: dict[str, Any] = {**call_type.start_attributes, **limits.attributes}
        """Their start attributes, but for what the path names."""
        self.started: Started = call_type.totals.started(call_type.operation.name, call_type.blocking, limits.deadline)
        """Counts them."""


class CallType:
    """One operation with its mode and options, to one server."""

    def __init__(self, operation: Operation, blocking: bool, excluded: bool) -> None:
        self.operation = operation
        self.blocking = blocking
        self.excluded = excluded
        self.spans = "all"
        self.name_attribute: str | None = None
        """The attribute that carries what the path names, if any."""
        self.start_attributes: dict[str, Any] = {}
        self.series: Series
        self.totals: Totals
        self.query: Query
        """What a call of this type without parameters asks for."""
        self.ok_attributes: dict[str, Any] = {}
        """`duration_attributes` of a call that went well."""
        self._duration_attributes: dict[tuple[str, str | None], dict[str, Any]] = {}
        self.limited: dict[Limits, LimitedCallType] = {}
        """Those made so far; `limited_by` makes more."""

    def limited_by(self, limits: Limits) -> LimitedCallType:
        """The calls with these time-outs, to be found in `limited` from now on."""
        made = LimitedCallType(self, limits)
        if len(self.limited) < _MOST_LIMITS:
            made = self.limited.setdefault(limits, made)
        return made

    def duration_attributes(self, outcome: str, error_type: str | None) -> dict[str, Any]:
        """The attributes of the duration's data point."""
        known = self._duration_attributes
        attributes = known.get((outcome, error_type))
        if attributes is None and error_type is not None and len(known) >= _MOST_OUTCOMES:
            error_type = _OTHER_ERROR
            attributes = known.get((outcome, error_type))
        if attributes is None:
            attributes = {**self.series.attributes, semconv.OUTCOME: outcome}
            if error_type is not None and outcome in (Outcome.ERROR, Outcome.TIMEOUT):
                attributes[semconv.ERROR_TYPE] = error_type
            known[outcome, error_type] = attributes
        return attributes


class CallTypes:
    """The types made so far, by what they depend on."""

    def __init__(self, settings: Settings, totals: Totals, *, old_names: bool) -> None:
        self._settings = settings
        self._totals = totals
        self._old_names = old_names
        self._types: dict[tuple[Any, ...], CallType] = {}
        self.plain: dict[tuple[str | None, Operation], CallType] = {}
        """The types of calls without parameters, by base URI and operation."""
        self._excluded: dict[str, bool] = {}

    def without_params(self, base_uri: str | None, operation: Operation, verb: str) -> CallType:
        """The type of this call, to be found in `plain` from now on."""
        query = read(operation, verb, None)
        call_type = self.get(base_uri, operation, query, blocking=False)
        call_type.query = query
        if len(self.plain) < _MOST_TYPES:
            self.plain[base_uri, operation] = call_type
        return call_type

    def get(self, base_uri: str | None, operation: Operation, query: Query, blocking: bool) -> CallType:
        """The type of this call."""
        key = (base_uri, operation, query.mode, query.consistency, query.cached, blocking)
        call_type = self._types.get(key)
        if call_type is None:
            if len(self._types) >= _MOST_TYPES:
                key = (None, *key[1:])
                base_uri = None
            call_type = self._types.setdefault(key, self._make(base_uri, operation, query, blocking))
        return call_type

    def _make(self, base_uri: str | None, operation: Operation, query: Query, blocking: bool) -> CallType:
        call_type = CallType(operation, blocking, self._settings.excludes(operation.name))
        server = server_attributes(base_uri)
        call_type.totals = self._totals
        if not call_type.excluded:
            call_type.series = self._totals.series(operation.name, blocking, server)
            call_type.ok_attributes = call_type.duration_attributes(Outcome.OK, None)
        if blocking:
            call_type.spans = self._settings.blocking_spans
        call_type.name_attribute = _NAME_ATTRIBUTES.get(operation.names or "")
        attributes: dict[str, Any] = {semconv.OPERATION: operation.name, semconv.HTTP_REQUEST_METHOD: operation.method}
        if operation.template is not None:
            attributes[semconv.URL_TEMPLATE] = operation.template
        if query.mode not in (None, "key", "set"):
            attributes[semconv.MODE] = query.mode
        if operation.read and query.consistency != "default":
            attributes[semconv.CONSISTENCY] = query.consistency
        if query.cached:
            attributes[semconv.CACHED] = True
        if blocking:
            attributes[semconv.BLOCKING] = True
        attributes.update(server)
        if self._old_names:
            attributes[semconv.OLD_PEER_SERVICE] = semconv.PEER_SERVICE_VALUE
            for old, new in _OLD_NAMES:
                if new in server:
                    attributes[old] = server[new]
        call_type.start_attributes = attributes
        return call_type


def server_attributes(base_uri: str | None) -> dict[str, Any]:
    """`server.address` and `server.port` of the agent at `base_uri`; for a unix socket its path and no port."""
    if not base_uri:
        return {}
    try:
        parts = urlsplit(base_uri)
        if "unix" in parts.scheme:
            return {semconv.SERVER_ADDRESS: encodable(unquote(parts.netloc) or parts.path)}
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        host = parts.hostname
    except Exception:  # noqa: BLE001 -- whatever it is, it is no address
        return {}
    if not host:
        return {}
    host = encodable(host)
    return {semconv.SERVER_ADDRESS: host} if port is None else {semconv.SERVER_ADDRESS: host, semconv.SERVER_PORT: port}


_NAME_ATTRIBUTES: Final = {"key": semconv.KV_KEY, "service": semconv.SERVICE_NAME, "node": semconv.NODE_NAME}
_OLD_NAMES: Final = (
    (semconv.OLD_SERVER_ADDRESS, semconv.SERVER_ADDRESS),
    (semconv.OLD_SERVER_PORT, semconv.SERVER_PORT),
)
