"""Programs in processes of their own, as in `tests/process`."""

from tests.process.conftest import run

__all__ = ["run"]
