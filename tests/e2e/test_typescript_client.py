"""A TypeScript client made of the API's document: linted, generated, compiled, and the whole mission walked with it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

SOURCE = Path(__file__).parents[1] / "clients" / "typescript"
NO_NETWORK = re.compile(r"E(?:AI_AGAIN|NOTFOUND|CONNREFUSED|CONNRESET|TIMEDOUT|NETUNREACH)")

pytestmark = pytest.mark.timeout(600)


class Workshop:
    """A folder with the client's sources, the document of the running suite, and the tools of `package-lock.json`."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder = folder
        self._environment = {**os.environ, "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}

    def run(self, *command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder or self.folder, env=self._environment, capture_output=True, text=True, check=False
        )

    def install(self) -> None:
        """Fetch the tools, unless those of this lock file are there."""
        installed = SOURCE / "node_modules" / ".package-lock.json"
        lock = SOURCE / "package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            outcome = self.run("npm", "ci", "--no-audit", "--no-fund", folder=SOURCE)
            if NO_NETWORK.search(outcome.stderr):
                pytest.skip("npm's registry cannot be reached")
            assert outcome.returncode == 0, outcome.stdout + outcome.stderr
            installed.touch()
        (self.folder / "node_modules").symlink_to(SOURCE / "node_modules")


@pytest.fixture(scope="module")
def workshop(http: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    node = os.environ.get("STACK_NODE")
    if not node:
        pytest.skip("there is no Node.js on this machine, and none could be installed")
    folder = tmp_path_factory.mktemp("typescript")
    for name in ("package.json", "tsconfig.json", "mission.ts", "lint.mjs"):
        shutil.copy(SOURCE / name, folder)
    (folder / "openapi.json").write_bytes(http.get("/openapi.json").content)
    made = Workshop(folder, node)
    made.install()
    return made


def test_the_document_breaks_no_rule_of_redocly(workshop: Workshop) -> None:
    outcome = workshop.run("node", "lint.mjs", "openapi.json")
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_a_rule_that_is_broken_is_told(workshop: Workshop) -> None:
    document = (workshop.folder / "openapi.json").read_text()
    (workshop.folder / "broken.json").write_text(document.replace('"operationId":"listMovies",', "", 1))
    outcome = workshop.run("node", "lint.mjs", "broken.json")
    assert outcome.returncode == 1
    assert "operation-operationId" in outcome.stderr


def test_the_mission_compiles_and_works(workshop: Workshop, genres: dict[str, int]) -> None:
    assert genres, "the catalog is filled"
    for command in (
        ("npx", "--no-install", "openapi-typescript", "openapi.json", "--output", "schema.ts"),
        ("npx", "--no-install", "tsc"),
        # Reads where the gateway is, and who administrates it, from the environment.
        ("node", "build/mission.js"),
    ):
        outcome = workshop.run(*command)
        assert outcome.returncode == 0, (command, outcome.stdout[-3000:], outcome.stderr[-3000:])
