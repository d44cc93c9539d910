"""What keeps opentelemetry-instrument from switching the plugin on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doctor.conftest import OTHERS, Doctor, Environment


def test_it_is_disabled_by_name(doctor: Doctor) -> None:
    report = doctor(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="flask , consul")

    assert (report.status, report.first) == (1, "plugin.disabled")
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS has 'consul'" in report.text("plugin.disabled")
    assert "launcher.works" not in report.codes


def test_all_are_disabled(doctor: Doctor) -> None:
    report = doctor(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="*")

    assert (report.status, report.first) == (1, "plugin.disabled")
    assert "every instrumentation" in report.text("plugin.disabled")


def test_it_can_be_imported_and_is_not_installed(doctor: Doctor, environment: Environment) -> None:
    report = doctor(python=environment.link("otel_consul*", "_otel_consul*", "__editable__*").python)

    assert (report.status, report.first) == (1, "plugin.not_installed")
    assert environment.python in report.text("plugin.not_installed")


def test_the_distro_is_not_installed(doctor: Doctor, environment: Environment) -> None:
    environment.link("opentelemetry_distro*", "opentelemetry/distro")

    report = doctor(python=environment.python, OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="otlp")

    assert (report.status, report.first) == (1, "distro.missing")


@pytest.mark.parametrize("kind", ["distro", "configurator"])
def test_another_distro_or_configurator_is_asked_for(doctor: Doctor, kind: str) -> None:
    report = doctor(**{f"OTEL_PYTHON_{kind.upper()}": "acme"})

    assert (report.status, report.first) == (1, f"{kind}.unknown")
    assert "'acme'" in report.text(f"{kind}.unknown")


def test_another_instrumentation_fails_and_takes_this_one_with_it(
    doctor: Doctor, environment: Environment, environ: dict[str, str]
) -> None:
    environment.distribution("acme", "1", opentelemetry_instrumentor="acme = acme:Instrumentor")
    environment.write(
        "acme.py", "class Instrumentor:\n    def instrument(self, **kwargs): raise RuntimeError('5ec7e7')\n"
    )

    report = doctor(PYTHONPATH=f"{environ['PYTHONPATH']}:{environment.packages}")  # so that it comes first

    assert (report.status, report.first) == (1, "launcher.other_failed")
    assert "The instrumentation 'acme' failed" in report.text("launcher.other_failed")
    assert "5ec7e7" not in report.out


def test_the_configurator_fails(doctor: Doctor, environment: Environment) -> None:
    environment.link("opentelemetry_distro*")
    environment.distribution("acme", "1", opentelemetry_configurator="acme = acme:Configurator")
    environment.write("acme.py", "class Configurator:\n    def configure(self, **kwargs): raise ValueError('5ec7e7')\n")

    report = doctor(python=environment.python, OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="otlp")

    assert (report.status, report.first) == (1, "launcher.failed")
    assert "(ValueError)" in report.text("launcher.failed")
    assert "5ec7e7" not in report.out


def test_the_launcher_takes_for_ever(doctor: Doctor, environment: Environment) -> None:
    environment.link().distribution("slow", "1", opentelemetry_pre_instrument="slow = slow:wait")
    environment.write("slow.py", "import time\ndef wait(): time.sleep(60)\n")

    report = doctor("--timeout", "0.3", python=environment.python)

    assert (report.status, report.first) == (0, "launcher.slow")


@pytest.mark.parametrize("flag", ["-E", "-I", "-sE"])
def test_python_ignores_what_the_launcher_does(doctor: Doctor, tmp_path: Path, flag: str) -> None:
    (tmp_path / "app.py").write_text("import consul\n")

    report = doctor("--", "opentelemetry-instrument", "python", flag, "app.py")

    assert (report.status, report.first) == (1, "launcher.ignored")
    assert f"started with {flag}" in report.text("launcher.ignored")


def test_the_launcher_is_not_on_the_path(doctor: Doctor, environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import consul\n")
    environment.link()

    report = doctor(
        "--",
        "opentelemetry-instrument",
        environment.python,
        "app.py",
        python=environment.python,
        PATH=str(environment.bin),
    )

    assert (report.status, report.first) == (1, "launcher.missing")


def test_no_launcher_is_there_at_all(doctor: Doctor, environment: Environment) -> None:
    report = doctor(python=environment.link().python, PATH=str(environment.bin))

    assert (report.status, report.first) == (0, "launcher.not_on_path")


def test_the_program_is_not_launched_and_does_not_instrument(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import consul\nconsul.Consul().kv.get('a')\n")

    report = doctor("--", "python", "app.py")

    assert (report.status, report.first) == (1, "program.not_launched")
    assert "Put opentelemetry-instrument before the command" in report.text("program.not_launched")


@pytest.mark.parametrize("command", [("-c", "import otel_consul"), ("-m", "shop")])
def test_the_program_instruments_and_is_no_script(doctor: Doctor, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "shop.py").write_text("import otel_consul\n")

    report = doctor("--", "python", *command)

    assert (report.status, report.first) == (0, "program.instruments")
    assert "without running the program" in report.text("verdict.seen")


def test_the_program_instruments_in_a_module_of_its_own(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import shop.telemetry\n")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "telemetry.py").write_text(
        "from otel_consul import ConsulInstrumentor\n"
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter\n"
    )

    report = doctor("--", "python", "app.py")

    assert (report.status, report.first) == (0, "program.instruments")
    assert "endpoint.ok" in report.codes


def test_pythonpath_does_the_launchers_work(doctor: Doctor, environ: dict[str, str]) -> None:
    """As the OpenTelemetry operator for Kubernetes has it."""
    from otel_consul.doctor.target import auto_folder

    report = doctor(PYTHONPATH=f"{auto_folder()}:{environ['PYTHONPATH']}")

    assert (report.status, report.first) == (0, "verdict.seen")
    assert "launcher.works" in report.codes


def test_others_need_not_be_disabled(doctor: Doctor) -> None:
    assert "consul" not in OTHERS.split(",")
    assert doctor(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=None).status == 0
