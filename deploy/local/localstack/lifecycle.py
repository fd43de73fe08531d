"""Starting a supervisor, waiting until its processes are ready, stopping it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from localstack import ports, procfs
from localstack.errors import StackError
from localstack.process import Process, save
from localstack.state import State, Status

_POLL_SECONDS = 0.1
_PACKAGE_PARENT = Path(__file__).resolve().parents[1]
_LOG_LINES = 25


def start(state: State, table: list[Process], tether: int | None = None) -> None:
    """Start the supervisor in the background.

    With `tether`, the reading end of a pipe, the stack ends as soon as nobody holds the other end.

    Raises:
        StackError: a port is taken.
    """
    end_leftovers(state)
    ports.require_free({row.port: row.name for row in table if row.port is not None})
    state.clear()
    save(table, state.table)
    arguments = [str(state.path)] + ([] if tether is None else [str(tether)])
    with state.log("supervisor").open("ab") as output:
        subprocess.run(
            [sys.executable, "-m", "localstack.supervisor", *arguments],
            cwd=_PACKAGE_PARENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=() if tether is None else (tether,),
            check=False,
        )
    deadline = time.monotonic() + 10
    while state.supervisor() is None:
        if time.monotonic() > deadline:
            raise StackError(f"the supervisor did not start:\n{tail(state.log('supervisor'))}")
        time.sleep(_POLL_SECONDS / 2)


def wait_ready(state: State, say: Callable[[str], None]) -> None:
    """Return when every process is ready.

    Raises:
        StackError: one of them cannot become ready, with the end of its log.
    """
    told: set[str] = set()
    while True:
        rows, failure = state.read()
        for row in rows:
            if row.ready_after is not None and row.name not in told:
                told.add(row.name)
                say(f"{row.name:<24} {row.ready_after:6.1f} s")
        if failure:
            name = failure.split()[0]
            raise StackError(f"{failure}; the end of {state.log(name)}:\n{tail(state.log(name))}")
        if len(told) == len(rows):
            return
        if state.supervisor() is None:
            raise StackError(f"the supervisor ended:\n{tail(state.log('supervisor'))}")
        time.sleep(_POLL_SECONDS)


def stop(state: State) -> bool:
    """Stop the stack; returns whether there was one."""
    supervisor = state.supervisor()
    if supervisor is None:
        return end_leftovers(state)
    with contextlib.suppress(ProcessLookupError):
        os.kill(supervisor, signal.SIGTERM)
    # The supervisor kills whatever outlives its grace, so it ends by itself.
    while state.supervisor() is not None:
        time.sleep(_POLL_SECONDS)
    return True


def end_leftovers(state: State) -> bool:
    """End what a supervisor that was itself killed left behind; returns whether there was anything."""
    left = [row.pid for row in state.read()[0] if row.alive and row.pid is not None]
    for pid in left:
        _signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while any(map(procfs.group_alive, left)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for pid in left:
        _signal_group(pid, signal.SIGKILL)
    return bool(left)


def take_down(state: State, name: str, number: signal.Signals, wait_seconds: float = 40.0) -> None:
    """Send a signal to a process and keep it down until `bring_up`.

    Raises:
        StackError: there is no such process, or it does not end.
    """
    row = _row(state, name)
    (state.held / name).touch()
    if row.alive and row.pid is not None:
        if number == signal.SIGKILL:
            _signal_group(row.pid, number)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(row.pid, number)
    deadline = time.monotonic() + wait_seconds
    while _row(state, name).state != "stopped":
        if time.monotonic() > deadline:
            raise StackError(f"{name} does not end")
        time.sleep(_POLL_SECONDS / 2)


def bring_up(state: State, name: str, wait_seconds: float = 120.0) -> None:
    """Start a process again and wait until it is ready.

    Raises:
        StackError: there is no such process, or it does not become ready.
    """
    _row(state, name)
    (state.held / name).unlink(missing_ok=True)
    deadline = time.monotonic() + wait_seconds
    while _row(state, name).state != "ready":
        if time.monotonic() > deadline:
            raise StackError(f"{name} does not become ready; the end of its log:\n{tail(state.log(name))}")
        time.sleep(_POLL_SECONDS / 2)


def _row(state: State, name: str) -> Status:
    if state.supervisor() is None:
        raise StackError("the stack is not running")
    rows = state.read()[0]
    for row in rows:
        if row.name == name and row.probe:
            return row
    raise StackError(f"there is no process {name!r}; there are {', '.join(row.name for row in rows if row.probe)}")


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def tail(log: Path, lines: int = _LOG_LINES) -> str:
    """The last lines of a log."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])
