"""Every finding there is has a test that names it."""

from __future__ import annotations

import re
from pathlib import Path

from otel_consul import doctor

AREAS = "call|client|command|consul|ddtrace|deadline|doctor|endpoint|green|http|launcher|option|plugin|program|send|verdict|workers"
CODE = re.compile(rf'"((?:{AREAS}|distro|exporter|protocol|sampler|sdk)\.[a-z_.]+)"')


def test_every_finding_is_tested() -> None:
    sources = "".join(file.read_text() for file in Path(doctor.__file__).parent.glob("*.py"))
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    codes = set(CODE.findall(sources))

    assert len(codes) > 60
    assert not [code for code in sorted(codes) if f'"{code}"' not in tests]
