"""Text that is safe to export. Exceptions of Consul clients quote URLs (with the token), keys, values and whole bodies.

So nothing is scrubbed: what is exported is made of known words only. `describe` repeats nothing of an exception, it says
which known things it saw; "No cluster leader", because that is what one looks for, is one of them.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT: Final = 256
"""Characters any text made here may have."""

_SCANNED: Final = 1024
"""Characters of a text that are looked at: a body may be half a megabyte."""
_DEPTH: Final = 8
"""Exceptions of one chain that are described."""
_MOST_FACTS: Final = 5
_LONGEST_NAME: Final = 64

_QUOTING: Final = (
    "Failed to decode JSON",
    "Missing index header",
    "Server connection lost",
    "Request incomplete",
    "Error setting",
    "Key not found",
)
"""What clients say before they quote a body, headers, a URL or a key. What follows is not Consul speaking."""

PHRASES: Final = (
    # Consul
    "No cluster leader",
    "No known Consul servers",
    "No path to datacenter",
    "ACL not found",
    "ACL support disabled",
    "Permission denied",
    "Invalid session",
    "Session TTL",
    "Missing node registration",
    "leadership lost while committing log",
    "node is not the leader",
    "raft is already shutdown",
    "timed out enqueuing operation",
    "lead thread didn't get connection",
    "rpc error",
    "rate limit",
    "too many concurrent connections",
    "context deadline exceeded",
    "context canceled",
    "i/o timeout",
    "does not have associated TTL",
    "Unknown check",
    "Unknown service",
    "Query not found",
    "Method not allowed",
    "Request body too large",
    "Invalid wait time",
    "Invalid index",
    "Conflicting flags",
    # sockets, resolvers, TLS, HTTP libraries
    "Connection refused",
    "Connection reset",
    "Connection aborted",
    "Connection broken",
    "Broken pipe",
    "No route to host",
    "Network is unreachable",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Remote end closed connection without response",
    "Server disconnected",
    "IncompleteRead",
    "Read timed out",
    "Max retries exceeded",
    "certificate verify failed",
    "certificate has expired",
    "self-signed certificate",
    "self signed certificate",
    "Hostname mismatch",
    "wrong version number",
    "handshake failure",
    "Session is closed",
    "Event loop is closed",
    "Expecting value",
)
"""All that a foreign text can put into ours, besides the names of exception classes, an errno and an HTTP status."""

_LOWERED: Final = tuple((phrase.lower(), phrase) for phrase in PHRASES)
_LOWERED_QUOTING: Final = tuple((phrase.lower(), phrase) for phrase in _QUOTING)

_CLIENTS: Final = frozenset({"consul", "consulate", "patroni"})
_STATUS: Final = re.compile(r"[45][0-9][0-9](?= |$)")


def encodable(text: str) -> str:
    """`text` as it can be exported: what no encoding knows, such as a byte of a file's name that is no text, is spelt out."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def phrases(text: str) -> list[str]:
    """The well-known `PHRASES` that `text` has, at most a few; safe to export whatever `text` is."""
    lowered = text[:_SCANNED].lower()
    for needle, phrase in _LOWERED_QUOTING:
        if needle in lowered:
            return [phrase]
    return [phrase for needle, phrase in _LOWERED if needle in lowered][:_MOST_FACTS]


def describe(exc: BaseException) -> str:
    """What happened, in words that are known to be safe: class names of the chain, HTTP status, errno, `PHRASES`.

    ``ConsulException: 500 No cluster leader``,
    ``ConnectionError from MaxRetryError from NewConnectionError from ConnectionRefusedError: ECONNREFUSED``.
    Nobody's ``__str__`` is called. Never raises.
    """
    names: list[str] = []
    facts: list[str] = []
    try:
        for nested in _chain(exc):
            name = type(nested).__name__
            if name not in names and name.isidentifier() and len(name) <= _LONGEST_NAME:
                names.append(name)
            facts.extend(fact for fact in _facts(nested) if fact not in facts)
    except Exception:  # noqa: BLE001, S110 -- an exception class may do anything in its properties; what is known stays
        pass
    return _bounded(" from ".join(names) or "exception", ": " + ", ".join(facts[:_MOST_FACTS]) if facts else "")


def _bounded(text: str, end: str) -> str:
    """Both, the first cut so that the whole keeps to `LIMIT`."""
    room = LIMIT - len(end)
    return (text if len(text) <= room else text[: room - 1] + "…") + end


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """`exc` and what it was made from, each once, nearest first."""
    seen: list[BaseException] = []
    pending = [exc]
    while pending and len(seen) < _DEPTH:
        nested = pending.pop(0)
        if not any(nested is known for known in seen):
            seen.append(nested)
            yield nested
            pending.extend(_inside(nested))


def _inside(exc: BaseException) -> Iterator[BaseException]:
    if exc.__cause__ is not None:
        yield exc.__cause__
    # requests, urllib3 and twisted keep the reason in an argument, or in a list or tuple there
    for argument in exc.args:
        for item in argument[:_DEPTH] if isinstance(argument, (list, tuple)) else (argument,):
            nested = getattr(item, "value", None) if type(item).__name__ == "Failure" else item
            if isinstance(nested, BaseException):
                yield nested
    reason = vars(exc).get("reason")
    if isinstance(reason, BaseException):
        yield reason
    # An OSError of the interpreter is the end of the story: its context is what the application was doing.
    root = isinstance(exc, OSError) and type(exc).__module__ in ("builtins", "socket")
    if exc.__context__ is not None and not exc.__suppress_context__ and not root:
        yield exc.__context__


def _facts(exc: BaseException) -> list[str]:
    facts: list[str] = []
    if isinstance(exc, OSError) and isinstance(exc.errno, int) and exc.errno in errno.errorcode:
        facts.append(errno.errorcode[exc.errno])
    client = type(exc).__module__.partition(".")[0] in _CLIENTS
    for argument in exc.args:
        text = _text(argument)
        if not text:
            continue
        found = phrases(text)
        status = _STATUS.match(text) if client else None
        if status is not None:
            facts.append(" ".join([status[0], *found[:1]]))
            found = found[1:]
        facts.extend(found)
    return facts


def _text(argument: Any) -> str:
    if isinstance(argument, bytes):
        return argument[:_SCANNED].decode("latin-1")
    return argument if isinstance(argument, str) else ""
