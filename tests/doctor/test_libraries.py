"""Client libraries that are missing, hidden, twofold or of another shape."""

from __future__ import annotations

from pathlib import Path

from tests.doctor.conftest import Doctor, Environment

CONSULS = ("consul", "py_consul-*", "python_consul*")
CLIENTS = (*CONSULS, "consulate", "consulate-*")


def test_none_is_installed(doctor: Doctor, environment: Environment) -> None:
    report = doctor(python=environment.link(*CLIENTS).python)

    assert (report.status, report.first) == (1, "client.none")
    assert "py-consul" in report.text("client.none")
    assert "call.span" not in report.codes


def test_a_file_of_the_programs_own_hides_the_library(doctor: Doctor, tmp_path: Path, environment: Environment) -> None:
    app = tmp_path / "app.py"
    app.write_text("import consul\n")
    (tmp_path / "consul.py").write_text("ADDRESS = 'localhost'\n")

    report = doctor(
        "--", "opentelemetry-instrument", environment.link(*CLIENTS).python, str(app), python=environment.python
    )

    assert (report.status, report.first) == (1, "client.shadowed")
    assert str(tmp_path / "consul.py") in report.text("client.shadowed")


def test_one_of_an_unknown_shape(doctor: Doctor, environment: Environment) -> None:
    environment.link(*CLIENTS).distribution("py-consul", "9.0.0").write("consul/__init__.py", "class Consul: pass\n")

    report = doctor(python=environment.python)

    assert (report.status, report.first) == (1, "client.shape")
    assert "py-consul 9.0.0 is not of a shape otel-consul knows (it has no consul.base)" in report.text("client.shape")


def test_one_whose_class_has_the_attribute_already(doctor: Doctor, environment: Environment) -> None:
    environment.link(*CLIENTS).distribution("py-consul", "9.0.0").write("consul/__init__.py", "")
    environment.write("consul/base.py", "class Consul:\n    http = property(lambda self: None)\n")

    report = doctor(python=environment.python)

    assert (report.status, report.first) == (1, "client.shape")
    assert "has a class attribute 'http'" in report.text("client.shape")


def test_an_odd_one_beside_a_good_one_is_a_problem_only(doctor: Doctor, environment: Environment) -> None:
    environment.link("consulate", "consulate-*").distribution("consulate", "9.0.0").write("consulate/__init__.py", "")

    report = doctor(python=environment.python)

    assert (report.status, report.first) == (0, "client.shape")
    assert report.of("client.shape")["level"] == "problem"


def test_one_that_cannot_be_imported(doctor: Doctor, environment: Environment) -> None:
    environment.link(*CLIENTS).distribution("py-consul", "9.0.0").write("consul/__init__.py", "1/0\n")

    report = doctor(python=environment.python)

    assert (report.status, report.first) == (1, "client.shape")
    assert "import consul raises ZeroDivisionError" in report.text("client.shape")


def test_two_that_overwrite_each_other(doctor: Doctor, environment: Environment) -> None:
    environment.link("python_consul-*").distribution("python-consul", "1.1.0")

    report = doctor(python=environment.python)

    assert (report.status, report.first) == (0, "client.several")
    assert "python-consul 1.1.0" in report.text("client.several")


def test_an_http_library_of_another_shape(doctor: Doctor, environment: Environment) -> None:
    environment.link().write(
        "odd_urllib3.pth",
        "import urllib3.connectionpool as p; del p.HTTPConnectionPool._get_conn; p.HTTPConnectionPool._get_conn = "
        "lambda self, timeout=None, wanted=None: None",
    )

    report = doctor(python=environment.python)

    assert "http.shape" in report.codes, report.out
    assert "urllib3" in report.text("http.shape")
    assert report.of("http.shape")["level"] == "warning"
