"""What a user can choose, and what a value that makes no sense leads to: one warning, and nothing breaks."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from otel_consul.settings import PREFIX, Settings

BAD = {
    "capture_keys": ("everything", "full, prefix or none"),
    "stall_threshold": ("soon", "seconds"),
    "phases": ("maybe", "true or false"),
    "local_delay": ("2", "true or false"),
    "suppress_http": ("ja", "true or false"),
    "blocking_spans": ("some", "all, errors or none"),
    "dump_signal": ("SIGNOTHING", "signal"),
}
GOOD: tuple[tuple[str, str, Any], ...] = (
    ("capture_keys", " Prefix ", "prefix"),
    ("stall_threshold", "0", 0.0),
    ("stall_threshold", "2.5", 2.5),
    ("phases", "OFF", False),
    ("phases", "1", True),
    ("local_delay", "no", False),
    ("suppress_http", "yes", True),
    ("blocking_spans", "errors", "errors"),
    ("excluded_operations", " agent.check.* ,, status.*", ("agent.check.*", "status.*")),
    ("dump_signal", "usr2", "SIGUSR2"),
)


@pytest.mark.parametrize(("name", "text", "expected"), GOOD)
def test_environment(name: str, text: str, expected: Any) -> None:
    assert getattr(Settings.build({}, {PREFIX + name.upper(): text}), name) == expected


@pytest.mark.parametrize(("name", "text", "expected"), GOOD)
def test_argument_wins(name: str, text: str, expected: Any) -> None:
    default = getattr(Settings(), name)
    environ = {PREFIX + name.upper(): str(default)}
    assert getattr(Settings.build({name: text}, environ), name) == expected


def test_arguments_of_their_own_types() -> None:
    settings = Settings.build({"phases": False, "stall_threshold": 3, "excluded_operations": ["kv.*"]}, {})
    assert (settings.phases, settings.stall_threshold, settings.excluded_operations) == (False, 3.0, ("kv.*",))


def test_nothing_given_is_the_default() -> None:
    assert Settings.build({}, {}) == Settings()
    assert Settings.build({"phases": None}, {PREFIX + "PHASES": "  "}) == Settings()


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("source", ["environment", "argument"])
def test_bad_value_is_one_warning_and_the_default(name: str, source: str, caplog: pytest.LogCaptureFixture) -> None:
    value, allowed = BAD[name]
    variable = PREFIX + name.upper()
    with caplog.at_level(logging.DEBUG, "otel_consul"):
        settings = (
            Settings.build({}, {variable: value}) if source == "environment" else Settings.build({name: value}, {})
        )

    assert settings == Settings()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for part in (variable if source == "environment" else name, repr(value), allowed, repr(getattr(settings, name))):
        assert part in record.getMessage()


@pytest.mark.parametrize("name", ["SIGKILL", "stop", "SIG", "SIG_DFL", "9", "SIGUSR2,SIGUSR1"])
def test_no_signal_that_can_be_handled(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Settings.build({}, {PREFIX + "DUMP_SIGNAL": name}) == Settings()
    (record,) = caplog.records
    for part in (PREFIX + "DUMP_SIGNAL", repr(name), "SIGUSR2"):
        assert part in record.getMessage()


@pytest.mark.parametrize("value", [-1, "nan", "inf", "-0.5", [], {}])
def test_no_number_of_seconds(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert Settings.build({"stall_threshold": value}, {}).stall_threshold == Settings().stall_threshold
    assert len(caplog.records) == 1


def test_every_bad_value_at_once_is_one_warning_each(caplog: pytest.LogCaptureFixture) -> None:
    environ = {PREFIX + name.upper(): value for name, (value, _) in BAD.items()}

    assert Settings.build({}, environ) == Settings()

    assert sorted(record.getMessage().partition("=")[0] for record in caplog.records) == sorted(environ)


def test_bad_argument_over_a_good_environment_says_what_is_used(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings.build({"capture_keys": "all"}, {PREFIX + "CAPTURE_KEYS": "none"})

    (record,) = caplog.records
    assert f"using {settings.capture_keys!r}" in record.getMessage()


@pytest.mark.parametrize("name", ["request_hook", "response_hook"])
def test_hook_that_is_no_function_is_one_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings.build({name: "module:function"}, {})

    assert getattr(settings, name) is None
    (record,) = caplog.records
    assert name in record.getMessage()
    assert "module:function" in record.getMessage()


@pytest.mark.parametrize(
    ("patterns", "operation", "excluded"),
    [
        ("agent.check.*,status.*", "agent.check.pass", True),
        ("agent.check.*,status.*", "agent.checks", False),
        ("agent.check.*,status.*", "status.leader", True),
        ("kv.[gd]*", "kv.put", False),
        ("*", "other", True),
        ("", "kv.get", False),
        ("KV.*", "kv.get", False),
    ],
)
def test_excluded_operations_are_globs(patterns: str, operation: str, excluded: bool) -> None:
    assert Settings.build({"excluded_operations": patterns}, {}).excludes(operation) is excluded
