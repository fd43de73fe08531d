"""Alert rules and dashboards are what Prometheus and Grafana can read, and every alert has been seen to fire."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

OBSERVABILITY = Path(__file__).parents[2] / "deploy" / "observability"
DASHBOARDS = sorted((OBSERVABILITY / "dashboards").glob("*.json"))
RULES: dict[str, Any] = yaml.safe_load((OBSERVABILITY / "rules" / "alerts.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(OBSERVABILITY / "promtool.py"), *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False, cwd=OBSERVABILITY, timeout=110)


def test_the_configuration_and_its_rules_can_be_read() -> None:
    outcome = promtool("check", "config", "prometheus.yml")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert f"{len(ALERTS)} rules found" in outcome.stdout


def test_alerts_fire_when_they_should_and_only_then() -> None:
    outcome = promtool("test", "rules", "rules/alerts.test.yml")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_a_wrong_threshold_is_noticed(tmp_path: Path) -> None:
    for name in ("alerts.yml", "alerts.test.yml"):
        text = (OBSERVABILITY / "rules" / name).read_text()
        (tmp_path / name).write_text(text.replace("event_queue_parked) > 0", "event_queue_parked) > 10"))
    outcome = promtool("test", "rules", str(tmp_path / "alerts.test.yml"))
    assert outcome.returncode == 1
    assert "MessagesParked" in outcome.stdout + outcome.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_to_do_and_is_tested(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert set(alert["annotations"]) == {"summary", "action"}
    tests = yaml.safe_load((OBSERVABILITY / "rules" / "alerts.test.yml").read_text())["tests"]
    names = {test["name"] for test in tests}
    assert {f"{alert['alert']} fires", f"{alert['alert']} stays quiet"} <= names


def expressions() -> Iterator[tuple[str, str]]:
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{file.stem}: {panel['title']}", target["expr"]


def test_the_expressions_of_all_panels_can_be_read(tmp_path: Path) -> None:
    # As recording rules, because promtool reads expressions in rules.
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(expressions())
    ]
    assert rules
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    outcome = promtool("check", "rules", str(file))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_complete(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    assert dashboard["uid"] == file.stem
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & cells, f"{panel['title']} covers another panel"
        assert place["x"] + place["w"] <= 24
        cells |= own
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert all(target["expr"] and "legendFormat" in target for target in panel["targets"])
