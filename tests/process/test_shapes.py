"""No client library, or something else of its name: the program starts as ever, and one log line says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.conftest import LOGGING, Run


def test_no_client_library_is_one_log_line(run: Run) -> None:
    done = run(
        LOGGING
        + """
import sys, importlib.abc
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("consul", "consulate"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
from otel_consul import ConsulInstrumentor
ConsulInstrumentor().instrument()
print("GOES ON")
"""
    )

    assert (done.code, done.out.strip()) == (0, "GOES ON"), done.err
    (line,) = done.own_lines
    assert "py-consul" in line
    assert "consulate" in line


FAKES = {
    "no-owner": {"__init__.py": "from consul import base\n", "base.py": "VERSION = 1\n"},
    "class-attribute": {
        "__init__.py": "from consul.base import Consul\n",
        "base.py": "class Consul:\n    http = None\n",
    },
    "no-base": {"__init__.py": "class Consul: pass\n"},
    "not-a-package": {"../consul.py": "class Consul: pass\n"},
    "function": {
        "__init__.py": "from consul.base import Consul\nassert Consul().http == 3\n",
        "base.py": "class _Client:\n    http = 3\ndef Consul():\n    return _Client()\n",
    },
    "none": {"__init__.py": "from consul import base\n", "base.py": "Consul = None\n"},
    "inherited-property": {
        "__init__.py": "from consul.base import Consul\nassert Consul().http == 5\n",
        "base.py": "class Base:\n    http = property(lambda self: 5)\nclass Consul(Base):\n    pass\n",
    },
    "import-fails": {"__init__.py": "import consul.base\n", "base.py": "raise RuntimeError('too old a Python')\n"},
}


def write(tmp_path: Path, files: dict[str, str]) -> None:
    folder = tmp_path / "consul"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    if not list(folder.iterdir()):
        folder.rmdir()


def test_module_that_is_imported_later_is_observed_and_no_line(run: Run, tmp_path: Path) -> None:
    write(tmp_path, {"__init__.py": "", "base.py": "class Consul:\n    def __init__(self):\n        self.http = 1\n"})
    done = run(
        LOGGING
        + """
import sys; sys.path.insert(0, "")
from otel_consul import ConsulInstrumentor
ConsulInstrumentor().instrument()
import consul
import consul.base
print(type(consul.base.Consul().http).__name__)
"""
    )

    assert (done.code, done.out.strip()) == (0, "TransportProxy"), done.err
    assert done.own_lines == []


@pytest.mark.parametrize("shape", FAKES)
def test_consul_of_another_shape_is_one_log_line(run: Run, tmp_path: Path, shape: str) -> None:
    write(tmp_path, FAKES[shape])
    done = run(
        LOGGING
        + """
import sys; sys.path.insert(0, "")
from otel_consul import ConsulInstrumentor
ConsulInstrumentor().instrument()
try:
    import consul
except RuntimeError as error:
    print("RAISED", error)
ConsulInstrumentor().uninstrument()
print("GOES ON")
"""
    )

    assert done.code == 0, done.err
    assert done.out.strip().endswith("GOES ON")
    if shape == "import-fails":  # the program sees its own error and that is enough
        assert "RAISED too old a Python" in done.out
        assert done.own_lines == []
    else:
        (line,) = done.own_lines
        assert "consul" in line
        assert "not" in line


def test_folder_named_consul_is_no_client_library(run: Run, tmp_path: Path) -> None:
    """A program's own folder of configuration files is a namespace package to Python."""
    (tmp_path / "consul").mkdir()
    site = "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p] + ['']\n"
    done = run(
        LOGGING
        + "from otel_consul import ConsulInstrumentor\n"
        + site
        + "ConsulInstrumentor().instrument()\nimport consul\nprint('GOES ON', consul.__path__)\n"
    )

    assert done.code == 0, done.err
    assert "GOES ON" in done.out
    assert len(done.own_lines) == 1, done.err
