"""What is to be done once a module has been imported, and need not be done any more.

wrapt keeps every hook until its module is imported, which may be never: a program that switches the plugin on and off again
would gather them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import wrapt

Hook: TypeAlias = Callable[[Any], None]

_wanted: Final[dict[str, list[Hook]]] = {}
_registered: Final[set[str]] = set()


def when_imported(name: str, hook: Hook) -> None:
    """Call `hook` with the module, now if it has been imported, else when it is."""
    _wanted.setdefault(name, []).append(hook)
    if name not in _registered:
        _registered.add(name)
        wrapt.register_post_import_hook(partial(_imported, name), name)


def take_back(hook: Hook) -> None:
    """Do not call `hook` any more."""
    for hooks in list(_wanted.values()):
        if hook in hooks:
            hooks.remove(hook)


def _imported(name: str, module: Any) -> None:
    _registered.discard(name)
    for hook in _wanted.pop(name, []):
        hook(module)
