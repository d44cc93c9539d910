"""The clock that calls are measured by. Tests of programs stop `time`'s; what a call took must not read 50 years then.

freezegun puts a clock of its own wherever it finds one of `time`'s functions, by identity. So these are those of a second
`time` module: the same C code at the same cost, found nowhere else. Dates on spans and logs are frozen as the SDK's are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from types import ModuleType
from typing import Final


def _another() -> ModuleType:
    spec = BuiltinImporter.find_spec("time")
    if spec is None or spec.loader is None:  # no CPython
        return time
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_time: Final = _another()
perf_counter: Final[Callable[[], float]] = _time.perf_counter
monotonic: Final[Callable[[], float]] = _time.monotonic
