"""Findings as text and as JSON. No secret passes here, whatever a finding says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from otel_consul.doctor.finding import Finding, arriving
from otel_consul.version import __version__

_SECRET_NAMES: Final = re.compile(r"TOKEN|HEADERS|PASSWORD|PASSWD|SECRET|API_?KEY|CREDENTIAL|HTTP_AUTH")
_HARMLESS: Final = re.compile(r"true|false|none|null|yes|no|on|off|basic|bearer|[0-9]{1,4}", re.IGNORECASE)
_SHORTEST: Final = 4
"""A shorter value is no secret, and would be found everywhere."""


def address(url: str) -> str:
    """A URL without its user, password and query."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an address that cannot be read"
    if not parts.scheme or not parts.netloc:
        return url.rpartition("@")[2].partition("?")[0]
    return f"{parts.scheme}://{host}{parts.path}"


def seconds(value: float) -> str:
    """A duration for a sentence: `0.84 ms`, `412 ms`, `2.1 s`."""
    return f"{value * 1e3:.3g} ms" if value < 0.9995 else f"{value:.3g} s"  # noqa: PLR2004 -- what rounds to a second


def secrets(environ: Mapping[str, str]) -> list[str]:
    """Every value, and part of a value, of the environment that must not be shown."""
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET_NAMES.search(name.upper()):
            found.add(value.strip())
            for pair in value.split(","):
                secret = pair.partition("=")[2].strip()
                found |= {secret, unquote(secret), *unquote(secret).split()}
        if "@" in value and "://" in value:
            user = value.partition("://")[2].rpartition("@")[0]
            found |= {user, *user.split(":", 1)}
    shown = {"", "http://", "https://"}
    return sorted(
        (one for one in found - shown if len(one) >= _SHORTEST and not _HARMLESS.fullmatch(one)), key=len, reverse=True
    )


def _scrub(text: str, hidden: Sequence[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, "…")
    return text


def _scrubbed(value: Any, hidden: Sequence[str]) -> Any:
    if isinstance(value, str):
        return _scrub(value, hidden)
    if isinstance(value, Mapping):
        return {str(key): _scrubbed(one, hidden) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(one, hidden) for one in value]
    return value if isinstance(value, (int, float, bool, type(None))) else _scrub(str(value), hidden)


def as_text(findings: Sequence[Finding], environ: Mapping[str, str]) -> str:
    """One finding a line."""
    hidden = secrets(environ)
    return "".join(f"{one.level.name:<8} {_scrub(' '.join(one.text.split()), hidden)}\n" for one in findings)


def as_json(findings: Sequence[Finding], environ: Mapping[str, str], status: int) -> str:
    """One object."""
    hidden = secrets(environ)
    left = arriving(findings)
    document = {
        "version": __version__,
        "seen": status == 0,
        "signals": left,
        "findings": [
            {
                "code": one.code,
                "level": one.level.name.lower(),
                "text": _scrub(" ".join(one.text.split()), hidden),
                "blocks": sorted(one.blocks),
                "facts": _scrubbed(one.facts, hidden),
            }
            for one in findings
        ],
    }
    return json.dumps(document, indent=2) + "\n"
