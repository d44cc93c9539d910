"""One real call, `status.leader`, through an installed client: what a program would leave."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from otel_consul import semconv
from otel_consul.deadlines.missing import OTHERWISE
from otel_consul.doctor.agent import Agent
from otel_consul.doctor.display import seconds
from otel_consul.doctor.finding import METRICS, SIGNALS, Finding, blocked, ok, problem, warning
from otel_consul.doctor.libraries import Installed
from otel_consul.doctor.trial import Trial
from otel_consul.redact import describe
from otel_consul.semconv import Deadline
from otel_consul.settings import Settings

_OPERATION: Final = "status.leader"
_SHOWN: Final = 4
"""Phases named."""


def _consul(agent: Agent | None) -> Any:
    return import_module("consul").Consul()  # which reads the environment by itself


def _consulate(agent: Agent | None) -> Any:
    library = import_module("consulate")
    if agent is None or not agent.place.host:
        return library.Consul()
    scheme = "https" if agent.place.tls is not None else "http"
    return library.Consul(agent.place.host, agent.place.port, token=agent.token or None, scheme=scheme)


_CLIENTS: Final = {"consul": _consul, "consulate": _consulate}
"""How to make a client, by import name, the first that is installed."""
_ASK: Final = {"consul": lambda client: client.status.leader(), "consulate": lambda client: client.status.leader()}


def make(trial: Trial, usable: Sequence[Installed], agent: Agent | None, timeout: float) -> list[Finding]:
    """Make the call, and tell what it left. `usable`: client libraries of a known shape."""
    one = next((one for name in _CLIENTS for one in usable if one.client.name == name), None)
    if one is None or trial.tracers is None:
        return []
    if Settings.build({}).excludes(_OPERATION):
        return [warning("call.excluded", f"No call was tried: {_OPERATION} is among the operations excluded.")]
    failure: list[BaseException] = []

    def ask() -> None:
        try:
            name = one.client.name
            _ASK[name](_CLIENTS[name](agent))
        except BaseException as exc:  # noqa: BLE001 -- whatever a library raises is an answer
            failure.append(exc)

    thread = threading.Thread(target=ask, name="otel-consul-doctor-call", daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        return [
            problem(
                "call.hangs",
                f"{_OPERATION} by {one.label} has had no answer for {seconds(timeout)}. A program's call is reported while it "
                "hangs, as stalled.",
            )
        ]
    return _left(trial, one, failure)


def _left(trial: Trial, one: Installed, failure: list[BaseException]) -> list[Finding]:
    spans = [span for span in trial.finished() if span.name == _OPERATION]
    if not spans:
        why = f": {describe(failure[0])}" if failure else ""
        return [blocked("call.no_span", f"{_OPERATION} by {one.label} was tried, and left no span{why}.", SIGNALS)]
    span = spans[-1]
    attributes: Mapping[str, Any] = span.attributes or {}
    outcome = str(attributes.get(semconv.OUTCOME, ""))
    took = seconds((span.end_time - span.start_time) / 1e9)
    facts = {"name": span.name, "outcome": outcome, "attributes": dict(attributes), "client": one.label}
    if failure:
        first = problem(
            "call.failed",
            f"{_OPERATION} by {one.label} failed after {took} ({describe(failure[0])}); it was seen: outcome {outcome}.",
            **facts,
        )
    else:
        first = ok(
            "call.span",
            f"{_OPERATION} by {one.label} took {took}: {_phases(attributes)}. Its span has {len(attributes)} attributes, "
            f"among them {_few(attributes)}.",
            **facts,
        )
    return [first, _metrics(trial), *_deadline(attributes, one)]


def _phases(attributes: Mapping[str, Any]) -> str:
    found = {
        name.removeprefix(semconv.PHASE_PREFIX): value
        for name, value in attributes.items()
        if name.startswith(semconv.PHASE_PREFIX)
    }
    most = sorted(found.items(), key=lambda pair: -pair[1])[:_SHOWN]
    return ", ".join(f"{name} {seconds(value)}" for name, value in most) or "no phases are measured"


def _few(attributes: Mapping[str, Any]) -> str:
    names = (semconv.OUTCOME, semconv.DEADLINE, semconv.SERVER_ADDRESS, semconv.SERVER_PORT)
    return ", ".join(f"{name} {attributes[name]}" for name in names if name in attributes)


def _metrics(trial: Trial) -> Finding:
    names, points = set(), 0
    data = trial.metrics()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                names.add(metric.name)
                points += len(metric.data.data_points)
    if not names:
        return blocked("call.no_metrics", f"{_OPERATION} left no metrics.", [METRICS])
    return ok(
        "call.metrics", f"The call left {len(names)} metrics, of {points} points.", metrics=sorted(names), points=points
    )


def _deadline(attributes: Mapping[str, Any], one: Installed) -> list[Finding]:
    if attributes.get(semconv.DEADLINE) != Deadline.NONE:
        return []
    advice = one.client.deadline_advice.get("requests", OTHERWISE)
    return [
        warning(
            "deadline.none",
            f"A client of {one.label} made without options has no deadline: if Consul or the network falls silent, it waits "
            f"for ever. To set one, {advice}.",
        )
    ]


def spans_of(trial: Trial) -> list[Any]:
    """The call's spans, to send."""
    return [span for span in trial.finished() if span.name == _OPERATION]
