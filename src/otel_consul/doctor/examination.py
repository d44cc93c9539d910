"""One examination, in the order of causes: what comes first explains what comes later."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from otel_consul.doctor import agent as consul_agent
from otel_consul.doctor import call, companions, libraries, options, otlp_grpc, otlp_http, plugin, sdk, source
from otel_consul.doctor import otlp as otlp_endpoints
from otel_consul.doctor.agent import Agent
from otel_consul.doctor.display import address
from otel_consul.doctor.finding import SIGNALS, TRACES, Finding, arriving, blocked, ok, ordered, problem
from otel_consul.doctor.launch import Launch, Launched
from otel_consul.doctor.otlp import Endpoint
from otel_consul.doctor.sdk import GRPC
from otel_consul.doctor.send import send
from otel_consul.doctor.target import Target
from otel_consul.doctor.trial import Trial

_LAUNCH: Final = 10.0
"""Time-outs that the launcher may take: it imports an SDK and every instrumentation there is."""
_QUESTIONS: Final = 5
"""Connections that one answer may take at most: whether a silent server speaks HTTP/2, TLS …"""


class _Asked:
    """A question to the network, asked in a thread of its own: looking a name up cannot be given a time-out."""

    def __init__(self, question: Callable[[], list[Finding]], otherwise: Finding) -> None:
        self._answers: queue.SimpleQueue[list[Finding]] = queue.SimpleQueue()
        self._otherwise = otherwise
        self._question = question
        threading.Thread(target=self._ask, name="otel-consul-doctor", daemon=True).start()

    def _ask(self) -> None:
        try:
            self._answers.put(self._question())
        except Exception as exc:  # noqa: BLE001 -- the others must be heard
            text = f"{self._otherwise.text} The doctor itself failed there, with {type(exc).__name__}."
            self._answers.put([replace(self._otherwise, code="doctor.failed", text=text)])

    def answer(self, within: float) -> list[Finding]:
        try:
            return self._answers.get(timeout=within)
        except queue.Empty:
            return [self._otherwise]


def examine(target: Target, *, sending: bool, timeout: float) -> list[Finding]:
    """Everything there is to say, the most important first. `timeout`: seconds for each connection."""
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries log may quote anything
    if target.script is not None:
        start = 0 if getattr(sys.flags, "safe_path", False) else 1
        sys.path[:start] = [str(target.script.resolve().parent)]  # where the program's own imports look first
    launch = Launch(target) if target.launched and sdk.has_sdk() else None
    text = source.read(target)
    exporters, exporter_troubles = sdk.exporters(target, text)
    endpoints, endpoint_troubles = otlp_endpoints.endpoints(exporters, sdk.with_defaults(target), timeout)
    named = consul_agent.named(target.environ, timeout)
    asked = [_Asked(*_endpoint_question(endpoint)) for endpoint in endpoints]
    asked_agent = _Asked(*_agent_question(named)) if isinstance(named, Agent) else None

    os.environ.pop("OTEL_SDK_DISABLED", None)  # what it does has been seen; the trial call shall show the rest
    installed = libraries.found_clients()
    with Trial() as trial:
        shapes = {one.client.name: trial.shape(one.client) for one in installed}
        usable = [one for one in installed if shapes[one.client.name] is None]
        about_call = call.make(trial, usable, named if isinstance(named, Agent) else None, timeout)
        trial.load_http()
        within = timeout * _QUESTIONS
        about_endpoints = [*endpoint_troubles, *_merged([one.answer(within) for one in asked])]
        about_agent = asked_agent.answer(within) if asked_agent is not None else _unnamed(named, about_call)
        lost = {signal for one in about_endpoints for signal in one.blocks}
        sent = send(trial, [one for one in endpoints if one.signal not in lost]) if sending else []

    before = [
        *libraries.client_findings(installed, shapes),
        *sdk.sdk_findings(target),
        *plugin.findings(target, text),
        *([] if not sdk.has_sdk() else exporter_troubles),
    ]
    launched = launch.result(timeout * _LAUNCH) if launch is not None else Launched()
    explained = any(one.blocks == frozenset(SIGNALS) for one in before) or not shapes
    found = [
        *before,
        *(plugin.launched_findings(launched, explained=explained) if launch is not None else ()),
        *sdk.sampler_findings(target.environ),
        *sdk.exporter_findings(exporters),
        *options.findings(target.environ),
        *about_endpoints,
        *about_agent,
        *about_call,
        *sent,
        *companions.findings(target, text, launched),
        *libraries.http_findings(trial.odd),
    ]
    return _with_verdict(found, endpoints, sure=target.launched)


def _unnamed(named: Agent | Finding, about_call: Sequence[Finding]) -> list[Finding]:
    """What is wrong with the agent's name. Some clients cannot be made with such a one."""
    if isinstance(named, Agent):
        return []
    lost = any(one.code == "call.no_span" for one in about_call)
    return [blocked(named.code, named.text)] if lost else [named]


def _endpoint_question(endpoint: Endpoint) -> tuple[Callable[[], list[Finding]], Finding]:
    look = otlp_grpc.look if endpoint.kind == GRPC else otlp_http.look
    late = blocked(
        "endpoint.timeout", f"The OTLP endpoint {endpoint.shown} was not found out about in time.", [endpoint.signal]
    )
    return lambda: [look(endpoint)], late


def _agent_question(agent: Agent) -> tuple[Callable[[], list[Finding]], Finding]:
    late = problem("consul.timeout", f"Consul at {agent.shown} was not found out about in time.")
    return lambda: consul_agent.look(agent), late


def _merged(answers: Sequence[list[Finding]]) -> list[Finding]:
    """The same of several signals is said once."""
    merged: dict[tuple[str, str], Finding] = {}
    for finding in (one for answer in answers for one in answer):
        key = (finding.code, finding.text)
        known = merged.get(key)
        merged[key] = (
            finding
            if known is None
            else Finding(known.code, known.text, known.level, known.blocks | finding.blocks, known.facts)
        )
    return list(merged.values())


def _with_verdict(found: list[Finding], endpoints: Sequence[Endpoint], *, sure: bool) -> list[Finding]:
    left = arriving(found)
    if left:
        nouns = " and ".join("spans" if signal == TRACES else "metrics" for signal in left)
        places = dict.fromkeys(address(one.url) for one in endpoints if one.signal in left)
        call = "A call" if sure else "As far as can be known without running the program, a call"
        where = f", sent to {' and '.join(places)}" if places else ""
        found = [ok("verdict.seen", f"{call} would be seen: its {nouns}{where}.", signals=left), *found]
    return ordered(found)


def leave(status: int) -> Any:
    """End at once: a thread may still wait for a name server, and an exit handler for a call that hangs."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
