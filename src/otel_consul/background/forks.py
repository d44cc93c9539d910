"""What holds calls, locks or threads starts anew in a forked child: these are the parent's, and end with it.

Python tells of a fork that it makes itself. A server that forks its workers in C, as uWSGI does, need not tell Python. So
whoever is about to use what a fork spoils looks at the number of the process first, with `notice`.
"""

from __future__ import annotations

import os
import sys
import weakref
from functools import partial
from typing import Any, Final, Protocol

from otel_consul import guard


class Forked(Protocol):
    """Something that a fork leaves in a state of the parent's."""

    def forked(self) -> None:
        """Start anew: the running process is a child that has just been forked."""


class Generation:
    """Counts the forks between the first process and this one."""

    number = 0
    process = os.getpid()
    """The number of the process that all this belongs to."""
    untold = False
    """Whether Python was not told of the fork that made it: then it still lists the parent's threads, whose stacks are gone."""


_followers: Final[weakref.WeakSet[Forked]] = weakref.WeakSet()


def follow(one: Forked) -> None:
    """Have `one.forked()` called in every child, as long as it is alive."""
    _followers.add(one)


def notice() -> None:
    """Start anew if this is another process than it was, and nobody said so."""
    if os.getpid() != Generation.process:
        in_child()


def in_child(*, untold: bool = True) -> None:
    """This is a child that has just been forked, or has just noticed."""
    Generation.untold = untold
    Generation.process = os.getpid()
    Generation.number += 1
    for one in list(_followers):
        try:
            one.forked()
        except Exception:  # noqa: BLE001 -- a call may have noticed, and must go on
            guard.fault("starting anew after a fork")


def are_to_come() -> bool:
    """Whether this is the process that a server is going to fork in C: uWSGI's, before its workers.

    A thread that holds the GIL at such a fork holds it for ever in the child, which then stands still. So none is started.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    try:
        return uwsgi is not None and uwsgi.worker_id() == 0 and uwsgi.mule_id() == 0
    except Exception:  # noqa: BLE001 -- somebody's module of that name
        return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(in_child, untold=False))
