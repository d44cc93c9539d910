"""What the operating system allows this process."""

from __future__ import annotations

import resource


def allow_many_files() -> int:
    """Raise the soft limit of open files to the hard one, and say it.

    Hundreds of connections have both their ends in here, and the programs we start inherit the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
