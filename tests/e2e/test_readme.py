"""What README.md tells a newcomer to type works as it stands there."""

import re
import subprocess
from pathlib import Path

import pytest
from suite_client import environment

ROOT = Path(__file__).parents[2]
TEXTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def shell_blocks(text: str) -> list[str]:
    return re.findall(r"^```(?:sh|bash)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readme_begins_with_two_commands() -> None:
    first = shell_blocks((ROOT / "README.md").read_text())[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make up", "make test"]


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_every_make_target_that_is_named_exists(file: Path) -> None:
    text = file.read_text()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    typed = [*shell_blocks(text), *re.findall(r"`([^`]+)`", prose)]
    assert {target for code in typed for target in re.findall(r"\bmake\s+([a-z][a-z-]+)", code)} <= TARGETS


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_every_link_to_a_file_leads_somewhere(file: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)", file.read_text()):
        if not re.match(r"https?:|/|mailto:", link):
            assert (file.parent / link).exists(), link


@pytest.mark.parametrize("name", ["README.md", "README.pt-BR.md"])
def test_the_lines_of_curl_work_as_pasted(name: str, genres: dict[str, int], tmp_path: Path) -> None:
    """As pasted but for the address of the suite, which a test cannot choose."""
    assert genres, "the catalog is filled"
    pasted = [block for block in shell_blocks((ROOT / name).read_text()) if "curl " in block]
    assert len(pasted) == 1
    lines = pasted[0].splitlines()
    assert len(lines) == 5
    commands = pasted[0].replace("http://localhost:8080", environment("STACK_GATEWAY_URL"))
    assert commands != pasted[0]
    settings = (f"{key}={environment(key)}\n" for key in ("ADMIN_EMAIL", "ADMIN_PASSWORD"))
    (tmp_path / ".env").write_text("".join(settings))
    outcome = subprocess.run(
        ["bash", "-c", commands], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert '"packageVersion":1' in outcome.stdout, outcome.stdout
    assert '"posterUrl"' in outcome.stdout, outcome.stdout
