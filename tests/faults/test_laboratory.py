"""The laboratory itself: a run that is killed leaves no process and no folder behind."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from localstack import procfs

_RUN = """
import sys, time
sys.path[:0] = {paths!r}
from pathlib import Path
from lab.guardian import guard_folder
from lab.processes import Program
folder = Path({folder!r})
guard_folder(folder)
# A server that has children of its own, as the broker has.
program = Program("server", ["sh", "-c", "sleep 300 & wait"], {{"PATH": "/usr/bin:/bin"}}, folder / "log", cwd=folder)
print(program.start().pid, flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("ending", ["kill", "terminate"])
def test_a_run_that_is_ended_from_outside_leaves_nothing_behind(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    code = _RUN.format(paths=[path for path in sys.path if path], folder=str(folder))
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    group = int(run.stdout.readline())
    assert procfs.group_alive(group)
    getattr(run, ending)()
    run.wait(10)
    run.stdout.close()
    deadline = time.monotonic() + 10
    while procfs.group_alive(group) or folder.exists():
        assert time.monotonic() < deadline, "something was left behind"
        time.sleep(0.05)
