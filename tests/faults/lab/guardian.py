"""Ends what a test run has started when the run itself is killed and cannot.

It reads the run's programs from its standard input. The other end of that pipe belongs to the run alone: when the run
is gone, by whatever means, the pipe ends, and so do the programs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

_guardians: list[subprocess.Popen[str]] = []


def _tell(line: str) -> None:
    if not _guardians:
        # A session of its own: what is sent to the run's group must not reach it.
        _guardians.append(
            subprocess.Popen(
                [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
        )
    pipe = _guardians[0].stdin
    assert pipe is not None
    pipe.write(line + "\n")
    pipe.flush()


def guard_process(pid: int) -> None:
    """The process group `pid` ends with this run."""
    _tell(f"process {pid} {_started(pid)}")


def guard_folder(folder: Path) -> None:
    """The folder goes with this run."""
    _tell(f"folder {folder}")


def _started(pid: int) -> str:
    """When the process started, in clock ticks: a reused id is not mistaken for ours."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def main() -> None:
    """Wait for the end of the run, then end what it has left."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = [line.split() for line in sys.stdin]
    for kind, *rest in told:
        if kind == "process" and _started(int(rest[0])) == rest[1]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(rest[0]), signal.SIGKILL)
    for kind, *rest in told:
        if kind == "folder":
            shutil.rmtree(rest[0], ignore_errors=True)


if __name__ == "__main__":
    main()
