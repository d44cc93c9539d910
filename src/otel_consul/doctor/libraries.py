"""Which client and HTTP libraries are installed, and whether the plugin finds in them what it observes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Final

from otel_consul import clients
from otel_consul.clients.client import Client
from otel_consul.doctor.finding import Finding, blocked, ok, problem, warning
from otel_consul.transports import discover

_BUNDLED: Final = ("requests", "urllib3", "aiohttp", "httpx")
"""HTTP libraries in the order they are named; what else there is comes after."""


@dataclass(frozen=True)
class Installed:
    """A client library of this environment."""

    client: Client
    distributions: tuple[str, ...]
    """`py-consul 1.8.0`; none where only a module of that name was found."""
    origin: str
    """The file the import name stands for."""

    @property
    def label(self) -> str:
        """What to call it."""
        return " and ".join(self.distributions) or f"{self.client.name} (of an unknown version)"


def version(distribution: str) -> str | None:
    """The version installed, None if it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def found_clients() -> list[Installed]:
    """Every client library that a program could import here."""
    found = []
    for client in clients.discover():
        try:
            spec = find_spec(client.name)
        except (ImportError, ValueError):
            continue
        if spec is None or spec.origin is None:
            continue
        have = ((name, version(name)) for name in client.distributions)
        found.append(Installed(client, tuple(f"{name} {one}" for name, one in have if one), spec.origin))
    return found


def client_findings(installed: Sequence[Installed], shapes: dict[str, str | None]) -> list[Finding]:
    """What is to say of the client libraries. `shapes`: import name -> what is unknown of its shape, None if nothing."""
    if not installed:
        names = [name for client in clients.discover() for name in client.distributions]
        return [
            blocked(
                "client.none",
                f"No Consul client library is installed for {sys.executable}: there is nothing to observe. "
                f"Known are {', '.join(names)}.",
            )
        ]
    findings: list[Finding] = []
    broken = {one.client.name for one in installed if shapes.get(one.client.name)}
    only_broken = len(broken) == len(installed)
    for one in installed:
        name = one.client.name
        facts = {"library": name, "distributions": one.distributions, "origin": one.origin}
        unknown = shapes.get(name)
        if unknown and not one.distributions:
            text = f"`import {name}` finds {one.origin}, which is no Consul client library. Rename that file."
            findings.append(
                blocked("client.shadowed", text, **facts) if only_broken else problem("client.shadowed", text, **facts)
            )
        elif unknown:
            text = f"{one.label} is not of a shape otel-consul knows ({unknown}): its calls are not observed."
            findings.append(
                blocked("client.shape", text, **facts) if only_broken else problem("client.shape", text, **facts)
            )
        else:
            findings.append(ok("client.found", f"{one.label} is installed, and of a shape that is known.", **facts))
        if len(one.distributions) > 1:
            findings.append(
                warning(
                    "client.several",
                    f"{one.label} are installed together, and overwrite each other's files. Uninstall all but one, "
                    "then install that one anew.",
                    **facts,
                )
            )
    return findings


def http_findings(odd: Sequence[str]) -> list[Finding]:
    """The HTTP libraries below. `odd`: what the plugin said of functions it did not find there."""
    findings = [warning("http.shape", f"{line}.") for line in odd]
    names = [*_BUNDLED, *sorted({transport.name for transport in discover()} - {*_BUNDLED, "patroni"})]
    have = {name: one for name in names if (one := version(name)) is not None}
    if have:
        listed = ", ".join(f"{name} {one}" for name, one in have.items())
        shape = "" if odd else ", of shapes that are known"
        findings.append(ok("http.found", f"HTTP libraries installed: {listed}{shape}.", **have))
    return findings
