"""What is the same for every call of one kind, worked out once: names, start attributes, metric attributes, totals."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote, urlsplit

from otel_consul import semconv
from otel_consul.operations import Operation
from otel_consul.params import Query, read
from otel_consul.semconv import Outcome
from otel_consul.settings import Settings
from otel_consul.totals import Series, Started, Totals
from otel_consul.transports.limits import Limits

_MOST_PLANS: Final = 4096
"""A program has a few dozen; beyond this (a client with an address per call) the address is left out of metrics."""
_MOST_LIMITS: Final = 64
"""Blocking queries may have time-outs of their own, each."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Kind:
    """The calls of one plan that have the same time-outs."""

    __slots__ = ("attributes", "limits", "started")

    def __init__(self, plan: Plan, limits: Limits) -> None:
        self.limits = limits
        self.attributes: dict[str, Any] = {**plan.start_attributes, **limits.attributes}
        """Their start attributes, but for what the path names."""
        self.started: Started = plan.totals.started(plan.operation.name, plan.blocking, limits.deadline)
        """Counts them."""


class Plan:
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
        """What a call of this kind without parameters asks for."""
        self.fine: dict[str, Any] = {}
        """`duration_attributes` of a call that went well."""
        self._duration_attributes: dict[tuple[str, str | None], dict[str, Any]] = {}
        self.kinds: dict[Limits, Kind] = {}
        """Those made so far; `kind` makes more."""

    def kind(self, limits: Limits) -> Kind:
        """The calls with these time-outs, to be found in `kinds` from now on."""
        kind = Kind(self, limits)
        if len(self.kinds) < _MOST_LIMITS:
            kind = self.kinds.setdefault(limits, kind)
        return kind

    def duration_attributes(self, outcome: str, error_type: str | None) -> dict[str, Any]:
        """The attributes of the duration's data point."""
        attributes = self._duration_attributes.get((outcome, error_type))
        if attributes is None:
            attributes = {**self.series.attributes, semconv.OUTCOME: outcome}
            if error_type is not None and outcome in (Outcome.ERROR, Outcome.TIMEOUT):
                attributes[semconv.ERROR_TYPE] = error_type
            self._duration_attributes[outcome, error_type] = attributes
        return attributes


class Plans:
    """The plans made so far, by what they depend on."""

    def __init__(self, settings: Settings, totals: Totals, *, old_names: bool) -> None:
        self._settings = settings
        self._totals = totals
        self._old_names = old_names
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self.plain: dict[tuple[str | None, Operation], Plan] = {}
        """The plans of calls without parameters, by base URI and operation."""
        self._excluded: dict[str, bool] = {}

    def without_params(self, base_uri: str | None, operation: Operation, verb: str) -> Plan:
        """The plan for this kind of call, to be found in `plain` from now on."""
        query = read(operation, verb, None)
        plan = self.get(base_uri, operation, query, blocking=False)
        plan.query = query
        if len(self.plain) < _MOST_PLANS:
            self.plain[base_uri, operation] = plan
        return plan

    def get(self, base_uri: str | None, operation: Operation, query: Query, blocking: bool) -> Plan:
        """The plan for this kind of call."""
        key = (base_uri, operation, query.mode, query.consistency, query.cached, blocking)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                key = (None, *key[1:])
                base_uri = None
            plan = self._plans.setdefault(key, self._make(base_uri, operation, query, blocking))
        return plan

    def _make(self, base_uri: str | None, operation: Operation, query: Query, blocking: bool) -> Plan:
        plan = Plan(operation, blocking, self._settings.excludes(operation.name))
        server = server_attributes(base_uri)
        plan.totals = self._totals
        if not plan.excluded:
            plan.series = self._totals.series(operation.name, blocking, server)
            plan.fine = plan.duration_attributes(Outcome.OK, None)
        if blocking:
            plan.spans = self._settings.blocking_spans
        plan.name_attribute = _NAME_ATTRIBUTES.get(operation.names or "")
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
        plan.start_attributes = attributes
        return plan


def server_attributes(base_uri: str | None) -> dict[str, Any]:
    """`server.address` and `server.port` of the agent at `base_uri`; for a unix socket its path and no port."""
    if not base_uri:
        return {}
    try:
        parts = urlsplit(base_uri)
        if "unix" in parts.scheme:
            return {semconv.SERVER_ADDRESS: unquote(parts.netloc) or parts.path}
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        host = parts.hostname
    except Exception:  # noqa: BLE001 -- whatever it is, it is no address
        return {}
    if not host:
        return {}
    return {semconv.SERVER_ADDRESS: host} if port is None else {semconv.SERVER_ADDRESS: host, semconv.SERVER_PORT: port}


_NAME_ATTRIBUTES: Final = {"key": semconv.KV_KEY, "service": semconv.SERVICE_NAME, "node": semconv.NODE_NAME}
_OLD_NAMES: Final = (
    (semconv.OLD_SERVER_ADDRESS, semconv.SERVER_ADDRESS),
    (semconv.OLD_SERVER_PORT, semconv.SERVER_PORT),
)
