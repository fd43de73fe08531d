"""Alerts and dashboards speak of metrics and labels that the running processes really have."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from suite_client import Person, until
from suite_processes import processes

OBSERVABILITY = Path(__file__).parents[2] / "deploy" / "observability"
# Prometheus adds these to everything that it scrapes.
OF_PROMETHEUS = {"job", "instance", "le"}
METRICS_OF_PROMETHEUS = {"up"}
WORDS = {"and", "or", "unless", "bool", "offset"}
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"


def rules() -> list[tuple[str, str]]:
    document = yaml.safe_load((OBSERVABILITY / "rules" / "alerts.yml").read_text())
    return [(rule["alert"], rule["expr"]) for group in document["groups"] for rule in group["rules"]]


def panels() -> list[tuple[str, str]]:
    found = []
    for file in sorted((OBSERVABILITY / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            found += [(f"{file.stem}: {panel['title']}", target["expr"]) for target in panel.get("targets", ())]
    return found


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Each metric of a PromQL expression, and the labels that its matchers name."""
    # What stands in quotes, in brackets, or in parentheses after these words is no metric.
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    found = []
    for name, follows, matchers in re.findall(rf"\b({NAME})\s*(\(|\{{([^}}]*)\}})?", text):
        if follows != "(" and name not in WORDS:
            found.append((name, set(re.findall(rf"({NAME})\s*[=!]", matchers))))
    return found


def grouped_by(expression: str) -> set[str]:
    return {
        label
        for group in re.findall(r"\bby\s*\(([^)]*)\)", expression)
        for label in re.split(r"[,\s]+", group.strip())
        if label
    }


def test_the_reader_of_expressions_sees_metrics_and_labels() -> None:
    text = 'sum by (route, le) (rate(a_total{job="x",route!~"/v1/(b|c).*"}[5m])) / on(job) b > 2 and time() - c{d="e"}'
    assert selectors(text) == [("a_total", {"job", "route"}), ("b", set()), ("c", {"d"})]
    assert grouped_by(text) == {"route", "le"}


@pytest.fixture(scope="module")
def exposed(http: httpx.Client, someone_who_fails: Person) -> dict[str, set[str]]:
    """The names of all samples of all processes, with the labels that they carry; families without a sample too."""

    def read() -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for process in processes().values():
            for line in process.metrics().splitlines():
                if family := re.match(rf"# TYPE ({NAME}) (\w+)", line):
                    found[family[1]] |= set()
                    if family[2] == "histogram":
                        found[f"{family[1]}_bucket"] |= {"le"}
                elif sample := re.match(rf"({NAME})(?:\{{(.*)\}})? ", line):
                    found[sample[1]] |= set(re.findall(rf'({NAME})="', sample[2] or ""))
        return found

    # A heartbeat comes every ten seconds, and queues are looked at every five.
    return until(lambda: (found := read()) and "queue" in found["event_last_heartbeat_timestamp_seconds"] and found, 60)


@pytest.fixture(scope="module")
def someone_who_fails(http: httpx.Client) -> None:
    """Somebody mistypes a password, so that there is a refusal to count."""
    wrong = {"email": "nobody-here@example.com", "password": "wrong wrong wrong wrong"}
    assert http.post("/v1/auth/login", json=wrong).status_code == 401


@pytest.mark.parametrize(("where", "expression"), rules() + panels(), ids=[where for where, _ in rules() + panels()])
def test_every_metric_and_label_exists(where: str, expression: str, exposed: dict[str, set[str]]) -> None:
    named = selectors(expression)
    assert named, where
    for metric, labels in named:
        if metric in METRICS_OF_PROMETHEUS:
            continue
        assert metric in exposed, f"{where}: no process has {metric}"
        has = exposed[metric] | OF_PROMETHEUS
        # A family of which nothing has been counted yet shows no labels.
        if exposed[metric]:
            assert labels | (grouped_by(expression) if len(named) == 1 else set()) <= has, (
                f"{where}: {metric} has {has}"
            )


def test_routes_are_counted_by_their_template(http: httpx.Client, someone: Person) -> None:
    assert someone.get("/v1/users/me").status_code == 200
    own = {name: process.metrics() for name, process in processes().items()}
    assert 'http_requests_total{method="GET",route="/v1/users/me",status="200"}' in own["gateway"]
    answered = [text for name, text in own.items() if name.startswith("identity-api")]
    assert any('route="/v1/users/me"' in text for text in answered)
    assert all(someone.id not in text and someone.email not in text for text in own.values())


def test_refusals_are_counted_by_their_reason(http: httpx.Client, someone: Person) -> None:
    def count(text: str) -> float:
        pattern = r'^http_problems_total\{code="invalid-credentials",route="/v1/auth/login"\} (.*)$'
        return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))

    def total() -> float:
        return sum(count(p.metrics()) for name, p in processes().items() if name.startswith("identity-api"))

    before = total()
    assert http.post("/v1/auth/login", json={"email": someone.email, "password": "not mine, no"}).status_code == 401
    assert total() == before + 1


def scraped() -> dict[str, dict[str, Any]]:
    document = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    return {job["job_name"]: job["dns_sd_configs"][0] for job in document["scrape_configs"]}


def test_every_process_is_scraped_under_its_name() -> None:
    first = {name for name in processes() if not re.search(r"-\d+$", name)}
    assert set(scraped()) == first
    compose = yaml.safe_load((OBSERVABILITY.parents[1] / "docker-compose.yml").read_text())["services"]
    for job, target in scraped().items():
        (name,) = target["names"]
        settings = compose[name]["environment"]
        which = "PORT" if job.endswith("-api") else "OPS_PORT"
        assert str(target["port"]) == next(value for key, value in settings.items() if key.split("_", 1)[1] == which)
