"""Whether a Consul agent answers where the environment says it is, which, and whether the token is taken."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from otel_consul.doctor import dial
from otel_consul.doctor.dial import UNTOLD, WORDS, Answer, NoAnswer, Place, Why
from otel_consul.doctor.display import address
from otel_consul.doctor.finding import Finding, ok, problem, warning

_ADDRESS: Final = "CONSUL_HTTP_ADDR"
_TOKEN: Final = "CONSUL_HTTP_TOKEN"  # noqa: S105 -- the variable's name
_DEFAULT: Final = "127.0.0.1:8500"
_PORT: Final = 8500
_OK: Final = 200
_FORBIDDEN: Final = 403
_FAILED: Final = 500


@dataclass(frozen=True)
class Agent:
    """Where the agent is said to be."""

    shown: str
    place: Place
    token: str = ""


def named(environ: Mapping[str, str], timeout: float) -> Agent | Finding:
    """The agent that the environment names, or what is wrong with the name."""
    given = environ.get(_ADDRESS, "").strip()
    shown = f"{address(given)} ({_ADDRESS})" if given else f"{_DEFAULT} (the default)"
    token = environ.get(_TOKEN, "")
    if given.startswith("unix://"):
        return Agent(shown, Place("", 0, path=given.removeprefix("unix://"), timeout=timeout), token)
    text = given or _DEFAULT
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if not parts.hostname:
        return problem(
            "consul.unreadable", f"{_ADDRESS} cannot be read as an address: use host:port or http://host:port."
        )
    scheme = parts.scheme or ("https" if environ.get("CONSUL_HTTP_SSL", "").lower() in ("true", "1") else "http")
    tls = _tls(environ) if scheme == "https" else None
    return Agent(shown, Place(parts.hostname, port or _PORT, tls, timeout=timeout), token)


def _tls(environ: Mapping[str, str]) -> ssl.SSLContext:
    file = environ.get("CONSUL_CACERT") or environ.get("REQUESTS_CA_BUNDLE") or ""
    context = ssl.create_default_context(cafile=file if os.path.isfile(file) else None)  # noqa: PTH113
    if environ.get("CONSUL_HTTP_SSL_VERIFY", "true").strip().lower() in ("false", "0"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def look(agent: Agent) -> list[Finding]:
    """Ask who leads, then who it is."""
    try:
        leader = dial.ask(agent.place, "GET", "/v1/status/leader", {})
    except NoAnswer as exc:
        return [_none(agent, exc.why)]
    if leader is None or not _is_consul(leader):
        if leader is not None and b"HTTPS server" in leader.body:
            return [_none(agent, Why.CLOSED, wants_tls=True)]
        return [problem("consul.not_consul", f"What answers at {agent.shown} is not Consul.")]
    found = []
    if leader.status == _OK and leader.body.strip() in (b'""', b""):
        found.append(problem("consul.no_leader", f"Consul at {agent.shown} has no leader: most calls fail."))
    elif leader.status >= _FAILED:
        found.append(
            problem("consul.no_leader", f"Consul at {agent.shown} fails (status {leader.status}): most calls do.")
        )
    try:
        itself = dial.ask(agent.place, "GET", "/v1/agent/self", {"X-Consul-Token": agent.token} if agent.token else {})
    except NoAnswer:
        itself = None
    return [*found, _itself(agent, itself)]


def _is_consul(answer: Answer) -> bool:
    if "html" in answer.headers.get("content-type", ""):
        return False
    if answer.status in (_FORBIDDEN, _FAILED, 429):
        return True
    if answer.status != _OK:
        return False
    try:
        return isinstance(json.loads(answer.body), str)
    except ValueError:
        return False


def _itself(agent: Agent, answer: Answer | None) -> Finding:
    if answer is not None and answer.status == _FORBIDDEN:
        if agent.token and b"not found" in answer.body.lower():
            return problem(
                "consul.token_refused",
                f"Consul at {agent.shown} answers, and does not know the token in {_TOKEN}: most calls will be refused.",
            )
        if agent.token:
            return ok(
                "consul.ok",
                f"Consul at {agent.shown} answers; the token in {_TOKEN} may not ask for its version.",
            )
        return warning(
            "consul.needs_token",
            f"Consul at {agent.shown} answers, and refuses calls without a token; {_TOKEN} is not set.",
        )
    version = _version(answer)
    if version:
        return ok("consul.ok", f"Consul {version} answers at {agent.shown}.", version=version)
    return ok("consul.ok", f"Consul answers at {agent.shown}, and does not say its version.")


def _version(answer: Answer | None) -> str:
    try:
        document: Any = json.loads(answer.body) if answer is not None and answer.status == _OK else {}
        version = document["Config"]["Version"]
    except (ValueError, KeyError, TypeError):
        return ""
    return version if isinstance(version, str) and len(version) < len(_DEFAULT) * 2 else ""


def _none(agent: Agent, why: str, *, wants_tls: bool = False) -> Finding:
    if wants_tls or (why in UNTOLD and agent.place.tls is None and _tls_there(agent.place)):
        return problem("consul.wants_tls", f"Consul at {agent.shown} speaks TLS, and is asked without. Use https://.")
    if why in UNTOLD and agent.place.tls is not None and dial.speaks_without_tls(agent.place):
        why = Why.NOT_TLS
    advice = f". Start an agent there, or say where it is: {_ADDRESS}" if why == Why.REFUSED else ""
    return problem(
        f"consul.{why}", f"Consul does not answer at {agent.shown}: {WORDS[why]}{advice}. Calls are seen, as failures."
    )


def _tls_there(place: Place) -> bool:
    return bool(place.host) and dial.speaks_tls(place)
