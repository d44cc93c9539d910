"""The command line: whose environment is examined, what is printed, and what the doctor leaves alone."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from testbed.otlp_receiver import OtlpReceiver
from tests.doctor.conftest import ROOT, Doctor, Environment, clean_environ

SECRETS = {
    "CONSUL_HTTP_TOKEN": "5ec7e7-consul-token",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=5ec7e7-header,authorization=Bearer%205ec7e7-bearer",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:5ec7e7-password@127.0.0.1:9/?key=5ec7e7-query",
    "CONSUL_HTTP_ADDR": "http://user:5ec7e7-password@127.0.0.1:9/?token=5ec7e7-query",
}


def test_the_program_is_not_run(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import pathlib\npathlib.Path('it-ran').touch()\n")

    report = doctor("--", "opentelemetry-instrument", "python", "app.py")

    assert (report.status, report.first) == (0, "verdict.seen")
    assert not (tmp_path / "it-ran").exists()


def test_the_launchers_options_count(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import consul\n")
    command = ("python", "app.py")

    report = doctor("--", "opentelemetry-instrument", "--traces_exporter", "none", "--metrics_exporter=none", *command)

    assert (report.status, report.first) == (1, "exporter.none.traces")


def test_variables_before_the_command_count(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import consul\n")

    report = doctor("--", "env", "OTEL_SDK_DISABLED=true", "opentelemetry-instrument", "python", "app.py")

    assert (report.status, report.first) == (1, "sdk.disabled")


def test_the_program_has_another_interpreter(doctor: Doctor, environment: Environment, tmp_path: Path) -> None:
    """Asked in one environment about a program of another: the other one counts."""
    (tmp_path / "app.py").write_text("import consul\n")
    environment.link("consul", "py_consul-*", "python_consul*", "consulate", "consulate-*")

    report = doctor("--", "opentelemetry-instrument", environment.python, "app.py")

    assert (report.status, report.first) == (1, "client.none")
    assert environment.python in report.text("client.none")


def test_the_program_has_an_interpreter_without_the_plugin(
    doctor: Doctor, environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("import consul\n")

    report = doctor("--", "env", "PYTHONPATH=", "opentelemetry-instrument", environment.python, "app.py")

    assert (report.status, report.first) == (1, "plugin.not_installed")
    assert f"{environment.python} -m pip install" in report.text("plugin.not_installed")


def test_the_program_has_an_interpreter_with_an_older_plugin(
    doctor: Doctor, environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("import consul\n")
    environment.write("otel_consul/__init__.py", "")

    report = doctor("--", "env", "PYTHONPATH=", "opentelemetry-instrument", environment.python, "app.py")

    assert (report.status, report.first) == (1, "plugin.too_old")


def test_the_program_has_an_interpreter_that_lacks_what_the_plugin_needs(
    doctor: Doctor, environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("import consul\n")

    report = doctor("--", "opentelemetry-instrument", environment.python, "app.py")

    assert (report.status, report.first) == (1, "plugin.incomplete")
    assert "there is no module opentelemetry" in report.text("plugin.incomplete")


def test_a_command_that_cannot_be_read(doctor: Doctor) -> None:
    report = doctor("--", "no-such-program-here")

    assert (report.status, report.first) == (2, "command.unreadable")
    assert "no-such-program-here" in report.text("command.unreadable")


def test_no_secret_is_printed(doctor: Doctor) -> None:
    for plain in (True, False):
        report = doctor(plain=plain, **SECRETS)

        assert report.status == 1
        assert "5ec7e7" not in report.out + report.err
        assert "127.0.0.1:9" in report.out


def test_no_secret_is_sent_elsewhere(doctor: Doctor, receiver: OtlpReceiver) -> None:
    doctor("--send", CONSUL_HTTP_TOKEN=SECRETS["CONSUL_HTTP_TOKEN"])

    assert receiver.spans
    assert not receiver.contains("5ec7e7")


def test_json_has_what_a_machine_needs(doctor: Doctor) -> None:
    document = json.loads(doctor(OTEL_TRACES_SAMPLER="always_off").out)

    assert document["seen"] is True
    assert document["signals"] == ["metrics"]
    finding = document["findings"][0]
    assert (finding["code"], finding["level"], finding["blocks"]) == ("sampler.drops_all", "problem", ["traces"])


def test_it_takes_about_a_second(doctor: Doctor) -> None:
    doctor()  # warms the disk
    began = time.monotonic()
    doctor()
    assert time.monotonic() - began < 10  # on a machine that tests other things too


def test_the_instrumentation_never_imports_it() -> None:
    code = (
        "import sys, otel_consul, otel_consul.report; otel_consul.ConsulInstrumentor().instrument(); import consul; "
        "print([name for name in sys.modules if name.startswith('otel_consul.doctor')])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=clean_environ(), capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_console_script_is_the_same_command() -> None:
    (line,) = re.findall(r'^otel-consul = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    point = importlib.metadata.EntryPoint("otel-consul", line, "console_scripts")

    from otel_consul.doctor.command import main

    assert point.load() is main


def test_help_and_wrong_usage() -> None:
    for words, status in ((["doctor", "--help"], 0), ([], 2), (["nurse"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "otel_consul", *words],
            env=clean_environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "doctor" in done.stdout + done.stderr
