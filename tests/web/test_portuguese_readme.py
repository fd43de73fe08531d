"""The Portuguese README: its commands work as pasted, its pictures and links are there."""

import json
import os
import re
import subprocess
from pathlib import Path

from suite_client import environment

ROOT = Path(__file__).parents[2]
README = ROOT / "README.pt-BR.md"


def test_its_curl_lines_work_as_pasted(tmp_path: Path, genres: dict[str, int]) -> None:
    (commands,) = [block for block in re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL) if "curl" in block]
    (tmp_path / ".env").write_text(
        f"ADMIN_EMAIL='{environment('ADMIN_EMAIL')}'\nADMIN_PASSWORD='{environment('ADMIN_PASSWORD')}'\n"
    )
    there = commands.replace("http://localhost:8080", environment("STACK_GATEWAY_URL"))
    outcome = subprocess.run(
        ["bash", "-euc", there],
        cwd=tmp_path,
        env=os.environ | {"NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    movies = json.loads(outcome.stdout[outcome.stdout.index('{"data"') :])
    assert len(movies["data"]) == 3


def test_its_pictures_and_links_are_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text())
    assert len(links) >= 5
    for link in links:
        assert (ROOT / link).exists(), link


def outline(text: str) -> dict[str, list[str]]:
    """What both languages must have alike: the number of sections, links, commands, settings and figures."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {
        "sections": ["#" * len(level) for level in re.findall(r"^(#+) ", prose, re.MULTILINE)],
        "links": sorted(link for link in re.findall(r"\]\(([^)]+)\)|<(http[^>]+)>", prose) for link in link if link),
        "commands": sorted(re.findall(r"`(make [^`]+)`", prose)),
        "rows": ["|" * (row.count("|") - 1) for row in re.findall(r"^\|.*$", prose, re.MULTILINE)],
        "code": re.findall(r"^```(\w+)", text, re.MULTILINE),
        "figures": [
            re.sub(r"\D", "", row.rpartition("|")[0].rpartition("|")[2])
            for row in re.findall(r"^\|.*\|$", prose, re.MULTILINE)
        ],
    }


def test_it_says_what_the_english_one_says() -> None:
    english, portuguese = (outline((ROOT / name).read_text()) for name in ("README.md", "README.pt-BR.md"))
    other = {"README.md", "README.pt-BR.md"}
    for found in (english, portuguese):
        found["links"] = [link for link in found["links"] if link not in other]
    assert english == portuguese
