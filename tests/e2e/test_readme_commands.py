"""What the READMEs tell a newcomer to type, typed: on a stack of its own beside the one of the tests."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.pt-BR.md")
# The suite of tests would run itself; the client in TypeScript has its own tests, which need npm's registry.
RUN_ELSEWHERE = {"test", "client-typescript"}

sys.path.insert(0, str(ROOT / "deploy" / "local"))

from localstack.ports import TABLE, claim_offset  # noqa: E402 - after the path to it

pytestmark = pytest.mark.timeout(900)


class Newcomer:
    """Somebody with a clone and nothing else; only the ports are others than the README's."""

    def __init__(self, folder: Path, offset: int) -> None:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("STACK_", "ADMIN_", "PYTEST_", "MAKE")) and name not in ("REPLICAS", "MFLAGS")
        }
        self.gateway = f"http://localhost:{TABLE['gateway'] + offset}"
        mails = f"http://localhost:{TABLE['mail-page'] + offset}"
        place = {"STACK_STATE": str(folder / "state"), "STACK_PORT_OFFSET": str(offset)}
        self.environment = {**kept, **place, "GATEWAY_URL": self.gateway, "MAIL_URL": mails, "ENGINE": "local"}
        self.typed: set[str] = set()

    def make(self, target: str, seconds: float = 600) -> str:
        """What a make target prints; it must succeed."""
        self.typed.add(target)
        outcome = self._run(["make", "--no-print-directory", target], seconds)
        assert outcome.returncode == 0, outcome.stdout[-2000:] + outcome.stderr[-2000:]
        return outcome.stdout + outcome.stderr

    def paste(self, commands: str) -> str:
        """What lines print that are pasted into a shell in the folder of the clone."""
        outcome = self._run(["bash", "-euc", commands.replace("http://localhost:8080", self.gateway)], 60)
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    def first_line_of(self, target: str) -> str:
        """The first line of a target that goes on until it is interrupted."""
        self.typed.add(target)
        command = ["make", "--no-print-directory", target]
        with subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            os.killpg(process.pid, 2)
        return line

    def _run(self, command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    claim = claim_offset()
    somebody = Newcomer(tmp_path, claim.offset)
    yield somebody
    somebody.make("down")
    claim.release()


def curl_lines(name: str) -> str:
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if "curl " in block]
    return str(found)


def named_targets() -> set[str]:
    text = "\n".join((ROOT / name).read_text() for name in READMES)
    return set(re.findall(r"(?:^|`)make ([a-z][a-z-]+)", text, re.MULTILINE))


def test_every_command_does_what_the_readmes_say(newcomer: Newcomer) -> None:
    said = newcomer.make("up")
    assert f"{newcomer.gateway}/docs" in said
    for name in READMES:
        printed = newcomer.paste(curl_lines(name))
        assert '"packageVersion":1' in printed
        assert '"posterUrl"' in printed, "the first movie that somebody may see"
    assert "gateway" in newcomer.make("status")
    assert newcomer.make("demo").strip()
    assert newcomer.first_line_of("logs").strip()
    assert "make up" in newcomer.make("help")
    newcomer.make("client-python")
    assert (ROOT / "build" / "movie_suite" / "api" / "movies" / "list_movies.py").exists()
    newcomer.make("down")
    assert named_targets() - RUN_ELSEWHERE == newcomer.typed
