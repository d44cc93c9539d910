"""The alert rules, and every expression of the dashboards, by promtool."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from examples.grafana import signals
from tests.dashboards.grafana import Choice, Dashboard, Expander, Window, targets
from tests.dashboards.harness import everything
from tests.dashboards.test_static import strangers

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "grafana"
RULES = FOLDER / "rules.yaml"

pytestmark = pytest.mark.timeout(120)


def run(promtool: Path, *arguments: str | Path) -> str:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def alerts() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_the_rules_parse(promtool: Path) -> None:
    run(promtool, "check", "rules", RULES)


def test_each_alert_fires_and_is_silent_when_it_should(promtool: Path) -> None:
    run(promtool, "test", "rules", FOLDER / "rules_test.yaml")


def test_each_alert_has_both_cases(alerts: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml")
    cases = yaml.safe_load((FOLDER / "rules_test.yaml").read_text("utf-8"))["tests"]
    seen = {(one["alertname"], bool(one["exp_alerts"])) for case in cases for one in case["alert_rule_test"]}
    assert seen == {(name, fires) for name in alerts for fires in (True, False)}


def test_each_alert_has_a_page(alerts: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    anchors = {heading.strip().lower() for heading in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    assert {alert.lower() for alert in alerts} == anchors
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"


def test_the_dashboards_turn_red_where_the_alerts_fire(alerts: dict[str, Any]) -> None:
    for name, limit in (
        ("ConsulCallHung", signals.HUNG_SECONDS),
        ("ConsulCallsSlow", signals.SLOW_SECONDS),
        ("ConsulCallsFailing", signals.FAILED_LIMITS[1]),
    ):
        assert re.search(rf"> {limit:g}\s", alerts[name]["expr"] + "\n"), name


def test_the_rules_use_declared_metrics() -> None:
    text = re.sub(r"\w+:consul_client_\w+:\w+|consul-client", "", RULES.read_text("utf-8"))
    assert strangers(text) == set()


@pytest.mark.parametrize("chosen", ["all", "one"])
def test_every_expression_of_the_dashboards_parses(
    promtool: Path, boards: list[Dashboard], tmp_path: Path, chosen: str
) -> None:
    choices = everything(boards)
    if chosen == "one":
        choices |= {"operation": Choice(("kv.get",)), "service": Choice(("a", "b"))}
    expand = Expander(Window(0, 3600), choices).expand
    rules = [
        {"record": f"panel:{number}", "expr": expand(target.expr)} for number, target in enumerate(targets(boards))
    ]
    file = tmp_path / "expressions.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    assert f"{len(rules)} rules found" in run(promtool, "check", "rules", "--lint=none", file)
