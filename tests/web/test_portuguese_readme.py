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
        assert (ROOT / link).is_file(), link
