"""What else is in the process."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.doctor.conftest import Doctor, Environment

LAUNCH = ("--", "opentelemetry-instrument")
needs_gevent = pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")


def server(environment: Environment, name: str) -> str:
    """An installed server, as far as a command line tells."""
    script = environment.bin / name
    script.write_text(f"#!{environment.python}\n")
    script.chmod(0o755)
    return str(script)


# --- a second span ---------------------------------------------------------------------------------------------------


def test_another_instrumentation_doubles_the_spans(doctor: Doctor) -> None:
    pytest.importorskip("opentelemetry.instrumentation.requests", exc_type=ImportError)
    report = doctor(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="aiohttp-client")

    assert (report.status, report.first) == (0, "http.doubled")
    assert "OTEL_PYTHON_CONSUL_SUPPRESS_HTTP=true" in report.text("http.doubled")


def test_it_is_suppressed(doctor: Doctor) -> None:
    report = doctor(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=None, OTEL_PYTHON_CONSUL_SUPPRESS_HTTP="true")

    assert "http.doubled" not in report.codes


# --- ddtrace ---------------------------------------------------------------------------------------------------------


def test_ddtrace_in_the_command(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import consul\n")
    run = tmp_path / "ddtrace-run"
    run.write_text('#!/bin/sh\nexec "$@"\n')
    run.chmod(0o755)
    report = doctor(*LAUNCH, str(run), "python", "app.py")

    assert (report.status, report.first) == (0, "ddtrace.present")
    assert "launcher.works" in report.codes
    assert "(the command)" in report.text("ddtrace.present")


def test_ddtrace_in_the_program(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import ddtrace.auto\nimport consul\n")
    report = doctor(*LAUNCH, "python", "app.py")

    assert (report.status, report.first) == (0, "ddtrace.present")
    assert "app.py imports it" in report.text("ddtrace.present")


def test_ddtrace_that_is_loaded_before_the_program(doctor: Doctor, environment: Environment) -> None:
    environment.link().write("ddtrace/__init__.py", "").write("dd.pth", "import ddtrace\n")
    report = doctor(python=environment.python)

    assert (report.status, report.first) == (0, "ddtrace.present")
    assert "it is loaded" in report.text("ddtrace.present")


# --- green threads ---------------------------------------------------------------------------------------------------


def test_gevent_patched_by_the_program(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\nfrom gevent import monkey\n\nmonkey.patch_all()\nimport consul\n")
    report = doctor(*LAUNCH, "python", "app.py")

    assert (report.status, report.first) == (0, "green.late")
    assert "app.py, line 4, patches with gevent" in report.text("green.late")
    assert "EXPERIMENTAL_GEVENT_PATCH=patch_all" in report.text("green.late")


@needs_gevent
def test_gevent_patched_in_time(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from gevent import monkey\nmonkey.patch_all()\nimport consul\n")
    report = doctor(*LAUNCH, "python", "app.py", OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH="patch_all")

    assert (report.status, report.first) == (0, "verdict.seen"), report.out


def test_eventlet_patched_after_the_client_was_imported(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import consul, otel_consul, eventlet\neventlet.monkey_patch()\n")
    report = doctor("--", "python", "app.py")

    assert "green.late" in report.codes
    assert "after importing consul" in report.text("green.late")


@pytest.mark.parametrize("words", [("-k", "gevent"), ("--worker-class=eventlet",)])
def test_workers_that_patch(doctor: Doctor, environment: Environment, words: tuple[str, ...]) -> None:
    environment.link()
    gunicorn = server(environment, "gunicorn")
    report = doctor(*LAUNCH, gunicorn, *words, "app:app", python=environment.python)

    assert (report.status, report.first) == (0, "green.late")
    assert "gunicorn patches with" in report.text("green.late")


# --- workers ---------------------------------------------------------------------------------------------------------


def test_an_instance_id_for_all(doctor: Doctor) -> None:
    report = doctor(OTEL_RESOURCE_ATTRIBUTES="service.name=shop,service.instance.id=one")

    assert (report.status, report.first) == (0, "workers.share_instance")
    assert "OTEL_RESOURCE_ATTRIBUTES sets service.instance.id" in report.text("workers.share_instance")


OLD_SDK = "import opentelemetry.sdk.resources as r; r.ServiceInstanceIdResourceDetector.is_process_dependent = lambda s: False\n"
"""What SDKs before 1.40 are like: a forked child keeps its parent's resource."""


@pytest.mark.parametrize("words", [("-w", "4"), ("--workers=2",)])
def test_forked_workers_that_share_one(doctor: Doctor, environment: Environment, words: tuple[str, ...]) -> None:
    environment.link().write("old_sdk.pth", OLD_SDK)
    gunicorn = server(environment, "gunicorn")
    report = doctor(*LAUNCH, gunicorn, *words, "app:app", python=environment.python)

    assert (report.status, report.first) == (0, "workers.share_instance")
    assert "as a fork tried here showed" in report.text("workers.share_instance")


def test_a_program_that_forks(doctor: Doctor, environment: Environment, tmp_path: Path) -> None:
    environment.link().write("old_sdk.pth", OLD_SDK)
    (tmp_path / "app.py").write_text("import consul, os\nif os.fork(): os.wait()\n")
    report = doctor(*LAUNCH, environment.python, "app.py", python=environment.python)

    assert (report.status, report.first) == (0, "workers.share_instance")


def test_one_worker_shares_nothing(doctor: Doctor, environment: Environment) -> None:
    environment.link().write("old_sdk.pth", OLD_SDK)
    gunicorn = server(environment, "gunicorn")
    report = doctor(*LAUNCH, gunicorn, "-w", "1", "app:app", python=environment.python)

    assert (report.status, report.first) == (0, "verdict.seen")


def test_workers_of_the_environment(doctor: Doctor, environment: Environment) -> None:
    environment.link().write("old_sdk.pth", OLD_SDK)
    gunicorn = server(environment, "gunicorn")
    command = (*LAUNCH, gunicorn, "app:app")

    assert doctor(*command, python=environment.python, WEB_CONCURRENCY="3").first == "workers.share_instance"
    assert doctor(*command, python=environment.python, WEB_CONCURRENCY="1").first == "verdict.seen"


def test_uwsgi_does_not_tell_python_of_forks(doctor: Doctor, environment: Environment) -> None:
    environment.link()
    uwsgi = server(environment, "uwsgi")
    report = doctor(*LAUNCH, uwsgi, "--processes", "4", python=environment.python)

    assert (report.status, report.first) == (0, "workers.share_instance")
    assert "--py-call-osafterfork" in report.text("workers.share_instance")
