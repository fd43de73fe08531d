"""The processes of the running test stack: their settings, their metrics, their logs, and stand-ins for them."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from suite_client import environment

ROOT = Path(__file__).parents[2]
_RUNNER = [sys.executable, str(ROOT / "deploy" / "local" / "stack.py")]


def stack(*arguments: str) -> str:
    """A command of the local stack's runner about the test stack."""
    outcome = subprocess.run([*_RUNNER, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@dataclass(frozen=True, slots=True)
class SuiteProcess:
    """One of our own processes, as the runner starts it."""

    name: str
    argv: list[str]
    environment: dict[str, str]
    operations_url: str

    @property
    def log(self) -> Path:
        return Path(environment("STACK_STATE")) / "logs" / f"{self.name}.log"

    def metrics(self) -> str:
        """Its present metrics, in Prometheus' text format."""
        return httpx.get(f"{self.operations_url}/metrics", trust_env=False, timeout=10).raise_for_status().text


def processes() -> dict[str, SuiteProcess]:
    """Every running process of the suite itself by its name, all replicas."""
    table: list[dict[str, Any]] = json.loads((Path(environment("STACK_STATE")) / "table.json").read_text())
    own = [row for row in table if row["probe"] and row["group"] in ("services", "gateway")]
    return {
        row["name"]: SuiteProcess(row["name"], row["argv"], row["env"], row["probe"].removesuffix("/readyz"))
        for row in own
    }


def pids() -> dict[str, int]:
    """The process ids of everything that runs in the stack."""
    state = json.loads((Path(environment("STACK_STATE")) / "state.json").read_text())
    return {row["name"]: row["pid"] for row in state["processes"] if row["pid"] and row["state"] == "ready"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Copy:
    """Another copy of a process of the stack, with more settings."""

    def __init__(self, process: SuiteProcess, log: Path, more: Mapping[str, str]) -> None:
        settings = {**process.environment, **more}
        prefix = next(name for name in settings if name.endswith("_OPS_PORT")).removesuffix("OPS_PORT")
        which = "PORT" if process.argv[-1] == "api" else "OPS_PORT"
        self._probe = f"http://127.0.0.1:{settings[prefix + which]}/readyz"
        self._log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(process.argv, env=settings, cwd=ROOT, stdout=output, stderr=output)

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait_ready(self, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            assert self._child.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(self._probe, trust_env=False, timeout=5).is_success
        except httpx.TransportError:
            return False

    def end(self) -> None:
        """In good order."""
        self._child.terminate()
        self._child.wait(40)


@contextmanager
def copies() -> Iterator[Callable[[SuiteProcess, Path, Mapping[str, str]], Copy]]:
    """Starts copies inside the block; all are ended after it."""
    running: list[Copy] = []

    def start(process: SuiteProcess, log: Path, more: Mapping[str, str]) -> Copy:
        running.append(Copy(process, log, more))
        return running[-1]

    try:
        yield start
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Copy.end, running))


@contextmanager
def held_down(*names: str) -> Iterator[None]:
    """Processes of the stack ended in good order, and started again after the block."""
    with ThreadPoolExecutor() as pool:
        try:
            list(pool.map(lambda name: stack("stop", name), names))
            yield
        finally:
            list(pool.map(lambda name: stack("start", name), names))
