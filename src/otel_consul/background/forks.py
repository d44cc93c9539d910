"""What holds calls, locks or threads starts anew in a forked child: these are the parent's, and end with it."""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol


class Forked(Protocol):
    """Something that a fork leaves in a state of the parent's."""

    def forked(self) -> None:
        """Start anew: the running process is a child that has just been forked."""


class Generation:
    """Counts the forks between the first process and this one."""

    number = 0


_followers: Final[weakref.WeakSet[Forked]] = weakref.WeakSet()


def follow(one: Forked) -> None:
    """Have `one.forked()` called in every child, as long as it is alive."""
    _followers.add(one)


def _in_child() -> None:
    Generation.number += 1
    for one in list(_followers):
        one.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
