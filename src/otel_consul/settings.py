"""What a user can choose, from keyword arguments or from ``OTEL_PYTHON_CONSUL_<NAME>``.

A value that makes no sense is one warning, which names the variable, the value and what is allowed; the default is
used instead. Nothing here raises.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from otel_consul.hooks import RequestHook, ResponseHook

PREFIX: Final = "OTEL_PYTHON_CONSUL_"
_logger: Final = logging.getLogger("otel_consul")


@dataclass(frozen=True)
class Settings:
    """The options in force. Times are seconds."""

    request_hook: RequestHook | None = None
    """Called with (span, call) before the request is sent."""
    response_hook: ResponseHook | None = None
    """Called with (span, call, response) before the span ends."""
    excluded_operations: tuple[str, ...] = ()
    """Globs of operations that leave no telemetry at all: ``agent.check.*,status.*``."""
    capture_keys: str = "full"
    """How much of a key, service or node name goes on spans: `full`, `prefix` (first segment) or `none`."""
    stall_threshold: float = 5.0
    """Age at which an open call is reported as stalled; 0 switches that off."""
    phases: bool = True
    """Measure where each call's time went."""
    local_delay: bool = True
    """Measure what this process itself added: event loop, garbage collector, GIL."""
    suppress_http: bool = False
    """Silence HTTP instrumentations below a Consul call."""
    blocking_spans: str = "all"
    """Spans of blocking queries: `all`, `errors` (only those that fail) or `none`. Metrics always."""
    dump_signal: str = ""
    """A signal's name (`SIGUSR2`) that prints the open calls to stderr; empty for none."""

    def excludes(self, operation: str) -> bool:
        """Whether `operation` is to leave no telemetry."""
        return any(fnmatchcase(operation, pattern) for pattern in self.excluded_operations)

    @classmethod
    def build(cls, options: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the environment, then `options` (keyword arguments) over it."""
        settings = cls()
        for name in _READERS:
            variable = PREFIX + name.upper()
            if environ.get(variable, "").strip():
                settings = _with(settings, name, environ[variable], variable)
            if options.get(name) is not None:
                settings = _with(settings, name, options[name], name)
        for name in ("request_hook", "response_hook"):
            hook = options.get(name)
            if callable(hook):
                settings = replace(settings, **{name: hook})
            elif hook is not None:
                _logger.warning("%s=%r is not understood (allowed: a function); using None", name, hook)
        return settings


def _with(settings: Settings, name: str, value: Any, source: str) -> Settings:
    read, allowed = _READERS[name]
    try:
        return replace(settings, **{name: read(value)})
    except (TypeError, ValueError, KeyError):
        used = getattr(settings, name)
        _logger.warning("%s=%r is not understood (allowed: %s); using %r", source, value, allowed, used)
        return settings


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off"):
        return False
    raise ValueError(value)


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < float("inf"):
        raise ValueError(value)
    return seconds


def _globs(value: Any) -> tuple[str, ...]:
    parts: Iterable[Any] = value.split(",") if isinstance(value, str) else value
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        text = str(value).strip().lower()
        if text not in choices:
            raise ValueError(value)
        return text

    return read


def _signal(value: Any) -> str:
    name = str(value).strip().upper()
    if not name:
        return ""
    known = signal.Signals[name if name.startswith("SIG") else f"SIG{name}"].name
    if known in ("SIGKILL", "SIGSTOP"):  # no process can handle these
        raise ValueError(value)
    return known


_READERS: Final[dict[str, tuple[Callable[[Any], Any], str]]] = {
    "excluded_operations": (_globs, "comma-separated globs such as agent.check.*"),
    "capture_keys": (_one_of("full", "prefix", "none"), "full, prefix or none"),
    "stall_threshold": (_seconds, "seconds, 0 for off"),
    "phases": (_boolean, "true or false"),
    "local_delay": (_boolean, "true or false"),
    "suppress_http": (_boolean, "true or false"),
    "blocking_spans": (_one_of("all", "errors", "none"), "all, errors or none"),
    "dump_signal": (_signal, "the name of a signal such as SIGUSR2"),
}
