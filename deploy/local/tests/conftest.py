"""The runner over small fake process tables: no root, no database, no broker."""

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The runner is a program of files, not an installed package: it must run before anything is installed.
sys.path.insert(0, str(Path(__file__).parents[1]))

from localstack import lifecycle, procfs
from localstack.process import Process
from localstack.state import State

# Listens, writes down when it starts and when it is asked to stop, and fails on demand.
FAKE = """
import os, pathlib, signal, socket, subprocess, sys, time
name, port, journal, mode = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
def note(what):
    with journal.open("a") as file:
        file.write(f"{name} {what}\\n")
def stop(*_):
    note("stopping")
    time.sleep(0.1)
    note("stopped")
    sys.exit(0)
note("starting")
if mode == "fails":
    print("cannot go on: no such thing")
    sys.exit(5)
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, stop)
if mode == "parent":
    child = subprocess.Popen(["sleep", "600"])
    note(f"child={child.pid}")
if mode == "step":
    sys.exit(0)
if mode == "silent":
    time.sleep(600)
time.sleep(2 if mode == "slow" else 0.1)
server = socket.create_server(("127.0.0.1", port))
note("listening")
while True:
    connection, _ = server.accept()
    connection.close()
"""


class Stack:
    """A stack of fakes in a folder of its own."""

    def __init__(self, path: Path) -> None:
        self.state = State(path / "state")
        self.journal = path / "journal"
        self.script = path / "fake.py"
        self.script.write_text(FAKE)
        self.state.create()
        self.table: list[Process] = []

    def add(self, name: str, mode: str = "serves", needs: tuple[str, ...] = (), **more: float | str) -> int:
        """Put a fake into the table; returns its port (0 for a step)."""
        port = 0 if mode in ("step", "failing-step") else free_port()
        mode = "fails" if mode == "failing-step" else mode
        argv = [sys.executable, "-S", str(self.script), name, str(port), str(self.journal), mode]
        self.table.append(
            Process(
                name=name,
                argv=argv,
                group="servers",
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
                needs=needs,
                probe=f"tcp://127.0.0.1:{port}" if port else "",
                port=port or None,
                **more,  # type: ignore[arg-type]
            )
        )
        return port

    def start(self, tether: int | None = None) -> None:
        """Start the supervisor."""
        lifecycle.start(self.state, self.table, tether)

    def up(self) -> None:
        """Start and wait until all are ready."""
        self.start()
        lifecycle.wait_ready(self.state, lambda _: None)

    def notes(self) -> list[str]:
        """What the fakes wrote down, in order."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []


def free_port() -> int:
    """A port that nobody listens on now, and below those that the system hands to outgoing connections."""
    while True:
        port = random.randrange(14000, 22000)
        if procfs.port_is_free(port):
            return port


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """An empty stack; it is stopped at the end whatever happened."""
    made = Stack(tmp_path)
    yield made
    lifecycle.stop(made.state)


@pytest.fixture(name="free_port")
def _free_port() -> Callable[[], int]:
    return free_port
