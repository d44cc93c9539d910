"""The matrix: every client library, on the Pythons and with the companions it is used with.

Rows are data. Add a client library by adding a row (and a driver in ``tests/clients/drivers.py``); a row says what to
install, on which Pythons, and which drivers must then be available: a driver that is missing is a failure, not a skip.

    nox -l              list the rows
    nox -t quick        what `make test` runs
    nox -t full         every row, what `make test-all` runs
    nox -s consulate-3.11 -- -k refused
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nox

OLDEST_OTEL = ("1.37.0", "0.58b0")
"""The oldest OpenTelemetry (stable, beta) supported: pyproject.toml's lower bounds. Row `otel-oldest` runs on exactly these."""
OLDEST_WRAPT = "1.16.0"

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
MAIN = "3.11"
NEWEST = ("3.14", "3.15")
"""Not on most machines: `scripts/matrix` fetches them."""
PYPROJECT = nox.project.load_toml("pyproject.toml")

# Companions that the old libraries need for their other transports.
TORNADO = ("tornado",)
TWISTED = ("twisted", "treq")
# Patroni imports a PostgreSQL driver before anything else; this one needs no libpq.
PATRONI = ("patroni[consul]", "psycopg[binary]")


@dataclass(frozen=True)
class Row:
    """One client library with its companions; one virtual environment per Python."""

    name: str
    install: tuple[str, ...]
    drivers: tuple[str, ...]
    """Which drivers of ``tests/clients/drivers.py`` must be available here."""
    pythons: tuple[str, ...] = (MAIN,)
    quick: tuple[str, ...] = (MAIN,)
    """The Pythons of the quick matrix."""
    unit: bool = False
    """Whether the unit tests run here as well (they do not depend on the client library)."""
    signals: bool = False
    """Whether what is made of its HTTP libraries' signals is tested here as well: they are others than in `.venv`."""
    secrets: bool = False
    """Whether every operation is searched for secrets here as well: once for each library that `.venv` has not."""
    tests: tuple[str, ...] = ()
    """What is tested here besides."""
    newest: tuple[str, ...] = ()
    """What is tested besides on the newest Pythons, which no `.venv` has: what reads their insides."""
    groups: tuple[str, ...] = ()
    """Dependency groups of pyproject.toml, and with them what users install for OTLP and the report."""


UNIT_TESTS = (
    "call",
    "consul_api",
    "deadlines",
    "metrics",
    *(f"test_{name}.py" for name in ("guard", "hooks", "phases", "redact", "settings")),
)
SIGNALS_TESTS = ("tests/transports", *(f"tests/local_delay/test_{name}.py" for name in ("threads", "tasks", "futures")))

NEWEST_TESTS = (
    "tests/local_delay/test_pauses.py",
    "tests/stacks/test_tasks.py",
    "tests/transports/test_aiohttp_signals.py",
)

OTEL_OLDEST_PINS = (
    *(f"{name}=={OLDEST_OTEL[0]}" for name in ("opentelemetry-api", "opentelemetry-sdk")),
    *(f"{name}=={OLDEST_OTEL[1]}" for name in ("opentelemetry-instrumentation", "opentelemetry-semantic-conventions")),
    f"opentelemetry-exporter-otlp-proto-http=={OLDEST_OTEL[0]}",
    f"wrapt=={OLDEST_WRAPT}",
)

ROWS = (
    Row(
        "py-consul",  # the newest
        ("py-consul[asyncio]",),
        ("py-consul/std", "py-consul/aio", "py-consul/plain-object"),
        pythons=PYTHONS,
        quick=PYTHONS,
        newest=NEWEST_TESTS,
    ),
    Row(
        "whole-suite",
        (),
        ("py-consul/std", "py-consul/aio", "consulate/requests"),
        pythons=NEWEST,
        quick=(),
        tests=("tests",),
        groups=("dev",),
    ),
    Row(
        "py-consul-1.7.1",
        ("py-consul[asyncio]==1.7.1",),
        ("py-consul/std", "py-consul/aio", "py-consul/plain-object"),
        pythons=PYTHONS,
    ),
    Row(
        "py-consul-1.1.1",  # the oldest there is
        ("py-consul[asyncio]==1.1.1", *TORNADO, *TWISTED),
        ("py-consul/std", "py-consul/aio", "py-consul/tornado", "py-consul/twisted", "py-consul/plain-object"),
        pythons=PYTHONS,
    ),
    Row(
        "python-consul",
        ("python-consul==1.1.0", *TORNADO, *TWISTED),
        ("python-consul/std", "python-consul/tornado", "python-consul/twisted", "python-consul/plain-object"),
        pythons=("3.11", "3.12", "3.13", "3.14", "3.15"),  # its aio needs asyncio.coroutine, gone in 3.11
        secrets=True,
    ),
    Row(
        "python-consul-aio",
        ("python-consul[asyncio]==1.1.0", *TORNADO, *TWISTED),
        ("python-consul/std", "python-consul/aio", "python-consul/tornado", "python-consul/twisted"),
        pythons=("3.10",),
        quick=("3.10",),
    ),
    Row(
        "python-consul2",
        ("python-consul2[asyncio]==0.1.5", *TORNADO, *TWISTED),
        (
            "python-consul2/std",
            "python-consul2/aio",
            "python-consul2/tornado",
            "python-consul2/twisted",
            "python-consul2/plain-object",
        ),
        pythons=PYTHONS,
        signals=True,
        secrets=True,
    ),
    Row("consulate", ("consulate==0.6.0",), ("consulate/requests",), pythons=PYTHONS),
    Row("patroni", PATRONI, ("patroni/urllib3", "py-consul/std"), pythons=PYTHONS, secrets=True),
    Row(
        "otel-oldest",
        ("py-consul[asyncio]", *OTEL_OLDEST_PINS),
        ("py-consul/std", "py-consul/aio"),
        pythons=("3.10", "3.11", "3.12"),  # 3.13 came after
        unit=True,
    ),
    Row(
        "green",  # gevent, eventlet and celery's pools
        ("py-consul", "gevent", "eventlet", "celery", "opentelemetry-distro"),
        ("py-consul/std",),
        pythons=("3.11", "3.12", "3.13", "3.14", "3.15"),
        quick=(),  # `.venv` has them too
        tests=("tests/process/test_green.py", "tests/process/test_celery.py"),
    ),
    Row(
        "beside",  # web servers that fork, other makers' tracers
        ("py-consul[asyncio]", "gunicorn", "uvicorn", "gevent", "ddtrace", "sentry-sdk", "opentelemetry-distro"),
        ("py-consul/std",),
        quick=(),
        tests=("tests/beside/test_servers.py", "tests/beside/test_tracers.py"),
    ),
    Row(
        "aiohttp-3.8",
        ("py-consul[asyncio]==1.7.1", "aiohttp==3.8.*"),
        ("py-consul/aio",),
        ("3.10", "3.11"),
        signals=True,
    ),
    Row(
        "urllib3-1.26",
        (*PATRONI, "consulate==0.6.0", "urllib3==1.26.*"),
        ("py-consul/std", "patroni/urllib3", "consulate/requests"),
        pythons=("3.10", "3.11"),
        signals=True,
    ),
)


def find_interpreters() -> None:
    """Put interpreters that only pyenv or the tests' cache knows on the PATH.

    Pyenv's shims refuse versions that are not switched on. What `scripts/matrix` fetched stands beside other programs
    of its suite: so at the end.
    """
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in PYTHONS:
        name = f"python{version}"
        found = shutil.which(name)
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            continue
        for candidate in sorted(root.glob(f"{version}.*/bin/{name}"), reverse=True):
            os.environ["PATH"] = f"{candidate.parent}{os.pathsep}{os.environ['PATH']}"
            break
    fetched = _output(sys.executable, "-m", "testbed.pythons", "--cached")
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *fetched])


def backend() -> str:
    """Uv where it works: it makes an environment in a second. But it does not read pip's settings, so that is tried."""
    if chosen := os.environ.get("NOX_DEFAULT_VENV_BACKEND"):
        return chosen
    pip = dict(line.split("=", 1) for line in _output(sys.executable, "-m", "pip", "config", "list") if "=" in line)
    settings = {key.rpartition(".")[2]: value.strip("'") for key, value in pip.items()}
    if "index-url" in settings or "no-index" in settings:
        return "virtualenv"
    os.environ.setdefault("UV_SYSTEM_CERTS", "1")
    if "cert" in settings:
        os.environ.setdefault("SSL_CERT_FILE", settings["cert"])
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return "uv" if uv and _output(uv, "pip", "compile", "--quiet", "--no-deps", "-", text="wrapt") else "virtualenv"


def _output(*command: str, text: str = "") -> list[str]:
    """The lines a command prints; none when it fails."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


find_interpreters()
nox.needs_version = ">=2025.2.9"
nox.options.tags = ["quick"]
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = backend()
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False


def register(row: Row, python: str) -> None:
    """Make the session `ROW-PYTHON`."""

    def session(session: nox.Session) -> None:
        tests = nox.project.dependency_groups(PYPROJECT, "test")
        session.install("--quiet", "-e", ".", *tests, *row.install)
        if row.groups:
            groups = nox.project.dependency_groups(PYPROJECT, *row.groups)
            session.install("--quiet", "-e", ".[otlp,report]", *groups)
        folders = ["tests/clients"] if "tests" not in row.tests else []
        folders += [f"tests/{name}" for name in UNIT_TESTS] if row.unit else []
        if row.signals and python == MAIN:
            folders += SIGNALS_TESTS
        if row.secrets and python == MAIN:
            session.install("--quiet", "opentelemetry-exporter-otlp-proto-http")
            folders.append("tests/integration/test_secrets.py")
        folders += row.tests
        if row.newest and python in NEWEST:
            session.install("--quiet", "opentelemetry-exporter-otlp-proto-http")
            folders += row.newest
        session.run(
            "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *folders, *session.posargs,
            env={"OTEL_CONSUL_EXPECT_DRIVERS": ",".join(row.drivers)},
        )  # fmt: skip

    tags = ["full", *(["quick"] if python in row.quick else [])]
    nox.session(session, name=f"{row.name}-{python}", python=python, tags=tags)


@nox.session(python=MAIN, reuse_venv=False, tags=["quick", "full"])
def package(session: nox.Session) -> None:
    """The wheel as a user installs it: `pip install .` with one client and the SDK's distro."""
    session.install("--quiet", ".", "py-consul", "opentelemetry-distro", "pytest", "pytest-timeout")
    session.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/package", *session.posargs)


for row in ROWS:
    for python in row.pythons:
        register(row, python)
