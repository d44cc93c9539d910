"""Keeps faults of this package from reaching the caller.

Every piece of our code that runs inside somebody's call ends in ``except Exception: fault("where")``. The fault is
logged once per place, with its traceback and a calm sentence, and swallowed. The project's own tests set `strict`,
so that a swallowed fault fails the test that caused it.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from typing import Final

_logger: Final = logging.getLogger("otel_consul")
_reported: set[str] = set()

strict = False
"""Re-raise instead of logging; only tests set it."""


def fault(where: str) -> None:
    """Report the exception being handled, once per `where`. Call it from an ``except Exception`` block only."""
    if strict:
        raise  # noqa: PLE0704 -- called from an except block by contract
    if where in _reported:
        return
    _reported.add(where)
    with contextlib.suppress(Exception):  # a broken log handler must not break the caller either
        _logger.error(
            "otel_consul failed in %s. The Consul call itself is not affected; telemetry about it may be missing. "
            "This is reported once.\n%s",
            where,
            _traceback(),
        )


def hook_fault(name: str) -> None:
    """Report an exception raised by a user's hook, once per hook. Call it from an ``except`` block only."""
    if name in _reported:
        return
    _reported.add(name)
    with contextlib.suppress(Exception):
        _logger.warning(
            "The %s given to ConsulInstrumentor raised; it is ignored. Reported once.\n%s", name, _traceback()
        )


def say_once(text: str) -> None:
    """Warn of something that this process cannot have, once."""
    if text not in _reported:
        _reported.add(text)
        with contextlib.suppress(Exception):
            _logger.warning("%s. This is said once.", text)


def _traceback() -> str:
    """The exception being handled, but not those it was raised during: they are the caller's, and quote its token."""
    return "".join(traceback.format_exception(*sys.exc_info(), chain=False)).rstrip()


def forget() -> None:
    """Report every fault anew, as a fresh process would."""
    _reported.clear()
