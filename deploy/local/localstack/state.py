"""The folder of a running stack: table, states, logs. Commands and supervisor talk through its files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from localstack import procfs

# Processes in one of these states have a process id.
ALIVE = ("starting", "ready", "stopping")


@dataclass(slots=True)
class Status:
    """What the supervisor last wrote about one process."""

    name: str
    group: str
    port: int | None
    probe: str
    state: str = "waiting"
    pid: int | None = None
    started: int | None = None
    restarts: int = 0
    exit_code: int | None = None
    ready_after: float | None = None
    detail: str = ""

    @property
    def alive(self) -> bool:
        """Whether the very process that was written down still runs."""
        return self.pid is not None and procfs.is_same(self.pid, self.started)


class State:
    """Paths and files under the state folder of one stack."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data"
        self.config = path / "config"
        self.logs = path / "logs"
        self.held = path / "held"
        self.table = path / "table.json"
        self._file = path / "state.json"
        self._supervisor = path / "supervisor.pid"

    def create(self) -> None:
        """Make the folders; they hold passwords and data, so they are ours alone."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for folder in (self.data, self.config, self.logs, self.held):
            folder.mkdir(exist_ok=True)

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.logs / f"{name}.log"

    def write_supervisor(self) -> None:
        """Write down that this process supervises."""
        pid = os.getpid()
        _replace(self._supervisor, f"{pid} {procfs.start_time(pid)}\n")

    def supervisor(self) -> int | None:
        """The process id of the living supervisor."""
        try:
            pid, started = self._supervisor.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if procfs.is_same(int(pid), int(started)) else None

    def forget_supervisor(self) -> None:
        """Take the note of the supervisor away when it ends."""
        self._supervisor.unlink(missing_ok=True)

    def write(self, rows: Iterable[Status], failure: str = "") -> None:
        """Write the state of every process."""
        _replace(self._file, json.dumps({"failure": failure, "processes": [asdict(row) for row in rows]}, indent=1))

    def read(self) -> tuple[list[Status], str]:
        """The state of every process, and why starting failed if it did."""
        try:
            content = json.loads(self._file.read_text())
        except FileNotFoundError:
            return [], ""
        return [Status(**row) for row in content["processes"]], content["failure"]

    def clear(self) -> None:
        """Forget what an earlier run wrote."""
        self._file.unlink(missing_ok=True)
        for hold in self.held.glob("*"):
            hold.unlink()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def _replace(path: Path, text: str) -> None:
    # A reader sees the old or the new text, never half of one.
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.replace(path)
