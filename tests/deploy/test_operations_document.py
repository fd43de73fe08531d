"""docs/operations.md has a section for every alert, and what it names exists."""

import importlib
import re

import pytest
import yaml
from tests.deploy import services
from tests.deploy.conftest import ROOT

DOCUMENT = (ROOT / "docs/operations.md").read_text()
ALERTS = DOCUMENT.partition("\n## Alerts\n")[2]


def test_every_alert_has_a_section_that_says_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "deploy/observability/rules/alerts.yml").read_text())
    wanted = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    sections = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^### |\Z)", ALERTS, re.MULTILINE | re.DOTALL))
    assert list(sections) == wanted
    assert all(re.search(r"^- ", text, re.MULTILINE) for text in sections.values())


def test_settings_that_it_names_exist() -> None:
    known = set().union(*map(services.accepted_names, services.SETTINGS.values()))
    named = set(re.findall(r"`((?:IDENTITY|SUBSCRIPTION|CATALOG|WATCH|GATEWAY)_[A-Z_0-9]+)`", DOCUMENT))
    assert named
    assert named <= known
    for ending in re.findall(r"`…(_[A-Z_]+)`", DOCUMENT):
        assert any(name.endswith(ending) for name in known), ending


def test_pages_and_files_that_it_names_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", DOCUMENT):
        assert (ROOT / "docs" / target).exists(), target
    for path in re.findall(r"`((?:tests|deploy|docs)/[\w./-]+)`", DOCUMENT):
        assert (ROOT / path).exists(), path


def test_metrics_that_it_names_exist() -> None:
    source = "\n".join(path.read_text() for path in ROOT.glob("*/src/**/*.py"))
    named = set(re.findall(r"`((?:gateway|http|outbox|event|sync|peer)_[a-z_]+)`", DOCUMENT))
    assert named
    for name in named:
        assert f'"{name.removesuffix("_total")}"' in source, name


COMMANDS = sorted(set(re.findall(r"python -m (\w+) ((?:keys|events) [a-z]+)((?: --[a-z-]+)*)", DOCUMENT)))


@pytest.mark.parametrize(("service", "command", "options"), COMMANDS, ids=lambda value: str(value).strip())
def test_commands_exist_with_their_options(
    service: str, command: str, options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"{service}.__main__").main([*command.split(), "--help"])
    shown = capsys.readouterr()
    assert not ended.value.code, shown.err
    assert set(options.split()) <= set(re.findall(r"--[a-z-]+", shown.out))
