"""What the plugin must know of one client library, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Reading: TypeAlias = tuple["str | None", Any, Any]
"""How one call reads: (base URI, path, query parameters). The path is text, unless a caller passed something else."""
Answer: TypeAlias = tuple[Any, Any, Any]
"""What Consul answered: (status, headers, body), of the types the transport has them in."""


@dataclass(frozen=True)
class Client:
    """One client library, as data."""

    name: str
    """The import name."""
    distributions: tuple[str, ...]
    """The distributions that install it, any one of them."""
    module: str
    owner: str
    attribute: str
    """Its calls pass attribute `attribute` of class `owner` in `module`."""
    calls_back: bool
    """Whether the answer goes to a callback, the first argument (`callback`), or is the result."""
    read: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Reading]
    """(transport object, arguments, keyword arguments) -> how the call reads."""
    answer: Callable[[Any], Answer]
    """A response object of this library -> what Consul answered."""
    deadline_advice: Mapping[str, str] = field(default_factory=dict)
    """How to set a deadline, by the name of the HTTP library in use: completes "To set one, ..."."""
