"""The workflow of continuous integration is valid and does what a developer does."""

import re
from pathlib import Path
from typing import Any

import yaml
from tests.deploy.conftest import ROOT, Document, program

WORKFLOW = ROOT / ".github/workflows/ci.yml"
CONTENT: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
STEPS = [step for job in CONTENT["jobs"].values() for step in job["steps"]]


def test_it_follows_the_schema() -> None:
    program("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW))


def test_what_is_pinned_is_kept_up_to_date() -> None:
    file = ROOT / ".github/dependabot.yml"
    program("check-jsonschema", "--builtin-schema", "vendor.dependabot", str(file))
    updates = {each["package-ecosystem"]: each["directory"] for each in yaml.safe_load(file.read_text())["updates"]}
    assert updates == {"docker": "/deploy/compose", "docker-compose": "/", "github-actions": "/"}
    assert list((ROOT / "deploy/compose").glob("Dockerfile"))


def test_make_targets_and_files_that_it_names_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = "\n".join(step["run"] for step in STEPS if "run" in step)
    called = set(re.findall(r"\bmake ([a-z-]+)\b", commands))
    assert {"check", "setup", "test", "up", "demo", "down"} <= called <= targets
    for path in re.findall(r"\bdeploy/[\w./-]+", commands):
        assert (ROOT / path).exists(), path


def test_actions_are_pinned_by_commit() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert all(re.search(r"@[0-9a-f]{40}$", action) for action in used)
    assert {action.partition("@")[0] for action in used} == {
        "actions/checkout",
        "actions/upload-artifact",
        "aquasecurity/trivy-action",
    }


def test_servers_are_those_of_production(compose: Document) -> None:
    services = CONTENT["jobs"]["test"]["services"]
    assert {name: service["image"] for name, service in services.items()} == {
        name: compose["services"][name]["image"] for name in ("mysql", "mongo", "rabbitmq")
    }


def test_the_tests_get_the_urls_of_the_containers() -> None:
    (test,) = [step for step in STEPS if step.get("run") == "make test"]
    readme = Path(ROOT, "deploy/local/README.md").read_text()
    for name, url in test["env"].items():
        assert name in readme
        assert re.search(r"//(?:[^@]*@)?(mysql|mongo|rabbitmq):\d+", url)


def test_every_image_is_built_scanned_and_listed(compose: Document) -> None:
    matrix = CONTENT["jobs"]["images"]["strategy"]["matrix"]["include"]
    for row in matrix:
        assert compose["services"][row["service"]]["image"] == f"movie-package-suite/{row['image']}:dev"
        assert "build" in compose["services"][row["service"]], "else there is nothing to build"
    ours = {
        service["image"].partition("/")[2].partition(":")[0]
        for service in compose["services"].values()
        if "build" in service
    }
    # The simulator is no part of an installation.
    assert {row["image"] for row in matrix} == ours - {"tmdb-simulator"}
