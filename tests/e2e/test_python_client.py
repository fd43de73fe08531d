"""A typed Python client generated from the API's document, and the whole mission walked with it."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

MISSION = Path(__file__).parents[1] / "clients" / "mission.py"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def generated(http: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the generated package `movie_suite`."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_bytes(http.get("/openapi.json").content)
    # The generator formats what it has written with ruff, which it looks for on the path.
    settings = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    arguments = ["--path", str(document), "--output-path", str(folder / "movie_suite"), "--meta", "none"]
    outcome = subprocess.run(
        [str(BIN / "openapi-python-client"), "generate", *arguments, "--fail-on-warning"],
        cwd=folder,
        env=settings,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return folder


@pytest.mark.timeout(240)
def test_the_mission_is_well_typed_against_the_generated_client(generated: Path) -> None:
    # What mypy finds in the generator's own base class is not ours to mend.
    options = ["--strict", "--follow-imports=silent", "--config-file=", f"--cache-dir={generated}/cache"]
    outcome = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(MISSION)],
        env={**os.environ, "MYPYPATH": str(generated)},
        cwd=generated,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_mission_works_with_the_generated_client(generated: Path, genres: dict[str, int]) -> None:
    assert genres, "the catalog is filled"
    outcome = subprocess.run(
        [sys.executable, str(MISSION)],
        env={**os.environ, "PYTHONPATH": str(generated)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
