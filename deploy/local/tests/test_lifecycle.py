"""Processes start in order, come back after a crash, are taken down and brought up one by one, and all end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from localstack import lifecycle, probes, procfs, supervisor
from localstack.errors import StackError
from localstack.process import Process, levels
from localstack.state import State, Status

if TYPE_CHECKING:
    from conftest import Stack


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def row(state: State, name: str) -> Status:
    return next(status for status in state.read()[0] if status.name == name)


def test_a_process_starts_when_what_it_needs_is_ready_and_stops_before_it(stack: "Stack") -> None:
    stack.add("database")
    stack.add("migration", "step", needs=("database",))
    stack.add("service", needs=("migration",))
    stack.add("gateway", needs=("service",))
    stack.up()
    assert stack.notes() == [
        "database starting",
        "database listening",
        "migration starting",
        "service starting",
        "service listening",
        "gateway starting",
        "gateway listening",
    ]
    assert [status.state for status in stack.state.read()[0]] == ["ready", "done", "ready", "ready"]
    stack.journal.unlink()

    assert lifecycle.stop(stack.state)

    expected = [f"{name} {what}" for name in ("gateway", "service", "database") for what in ("stopping", "stopped")]
    assert stack.notes() == expected
    assert stack.state.supervisor() is None
    assert not lifecycle.stop(stack.state), "nothing is left to stop"


def test_what_does_not_need_each_other_starts_at_once(stack: "Stack") -> None:
    for number in range(4):
        stack.add(f"server-{number}", "slow")
    stack.up()
    assert sorted(stack.notes()[:4]) == [f"server-{number} starting" for number in range(4)]


def test_a_crashed_process_comes_back(stack: "Stack") -> None:
    port = stack.add("service")
    stack.up()
    before = row(stack.state, "service")
    assert before.pid
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: row(stack.state, "service").restarts == 1)
    until(lambda: row(stack.state, "service").state == "ready")
    after = row(stack.state, "service")
    assert after.pid != before.pid
    assert after.exit_code == -signal.SIGKILL
    assert probes.passes(f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_taken_down_stays_down_until_it_is_brought_up(stack: "Stack", number: signal.Signals) -> None:
    port = stack.add("service")
    stack.add("other")
    stack.up()
    lifecycle.take_down(stack.state, "service", number)
    time.sleep(1)
    assert row(stack.state, "service").state == "stopped"
    assert row(stack.state, "service").restarts == 0, "an operator's deed is no crash"
    assert not probes.passes(f"tcp://127.0.0.1:{port}")
    assert ("service stopping" in stack.notes()) == (number == signal.SIGTERM)
    lifecycle.bring_up(stack.state, "service")
    assert probes.passes(f"tcp://127.0.0.1:{port}")
    assert row(stack.state, "other").state == "ready"


def test_an_unknown_process_is_refused_with_the_known_ones(stack: "Stack") -> None:
    stack.add("service")
    stack.add("migration", "step")
    stack.up()
    with pytest.raises(StackError, match=r"no process 'nonsense'; there are service$"):
        lifecycle.take_down(stack.state, "nonsense", signal.SIGKILL)
    lifecycle.stop(stack.state)
    with pytest.raises(StackError, match="not running"):
        lifecycle.bring_up(stack.state, "service")


def test_a_process_that_cannot_start_is_named_with_its_last_words(stack: "Stack") -> None:
    stack.add("server")
    stack.add("service", "fails")
    stack.start()
    with pytest.raises(StackError, match=r"(?s)service ended with 5.*cannot go on: no such thing"):
        lifecycle.wait_ready(stack.state, lambda _: None)
    assert stack.notes().count("service starting") == 3, "it had its tries"


def test_a_failed_step_is_not_tried_again(stack: "Stack") -> None:
    stack.add("migration", "failing-step")
    stack.add("service", needs=("migration",))
    stack.start()
    with pytest.raises(StackError, match="migration ended with 5"):
        lifecycle.wait_ready(stack.state, lambda _: None)
    assert stack.notes() == ["migration starting"]


def test_a_process_that_never_answers_is_named(stack: "Stack") -> None:
    stack.add("service", "silent", start_seconds=0.5)
    stack.start()
    with pytest.raises(StackError, match=r"service is not ready after 0\.5 s"):
        lifecycle.wait_ready(stack.state, lambda _: None)


def test_a_program_that_is_not_there_is_named(stack: "Stack") -> None:
    stack.table = [Process(name="ghost", argv=["no-such-program"], group="servers", cwd="/", probe="tcp://127.0.0.1:1")]
    stack.start()
    with pytest.raises(StackError, match=r"(?s)ghost ended with 127.*no-such-program: No such file"):
        lifecycle.wait_ready(stack.state, lambda _: None)


def test_a_taken_port_is_refused_and_its_owner_named(stack: "Stack") -> None:
    port = stack.add("service")
    with socket.create_server(("127.0.0.1", port)), pytest.raises(StackError) as refused:
        stack.start()
    assert f"port {port} (service) is taken by process {os.getpid()} (" in str(refused.value)
    assert not stack.notes()


def test_a_process_deaf_to_sigterm_is_killed_after_its_grace(stack: "Stack") -> None:
    stack.add("service", "deaf", grace_seconds=0.5)
    stack.up()
    pid = row(stack.state, "service").pid
    assert pid
    began = time.monotonic()
    lifecycle.stop(stack.state)
    assert 0.4 < time.monotonic() - began < 5
    assert procfs.start_time(pid) is None


def test_children_of_a_process_end_with_it(stack: "Stack") -> None:
    stack.add("service", "parent")
    stack.up()
    child = int(next(note for note in stack.notes() if "child=" in note).partition("=")[2])
    assert procfs.start_time(child)
    lifecycle.take_down(stack.state, "service", signal.SIGKILL)
    until(lambda: procfs.start_time(child) is None)


def test_a_killed_supervisor_leaves_processes_that_the_next_command_ends(stack: "Stack") -> None:
    stack.add("service")
    stack.up()
    supervisor, pid = stack.state.supervisor(), row(stack.state, "service").pid
    assert supervisor
    assert pid
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: stack.state.supervisor() is None)
    assert procfs.start_time(pid), "nobody has ended it yet"
    stack.up()
    assert procfs.start_time(pid) is None
    assert row(stack.state, "service").state == "ready"


def test_a_tethered_stack_ends_with_the_command_that_wanted_it(stack: "Stack") -> None:
    stack.add("service")
    reading, writing = os.pipe()
    stack.start(tether=reading)
    lifecycle.wait_ready(stack.state, lambda _: None)
    os.close(reading)
    os.close(writing)
    until(lambda: stack.state.supervisor() is None)
    assert stack.notes()[-1] == "service stopped"


def test_a_process_id_used_again_is_not_taken_for_ours() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = procfs.start_time(process.pid)
        assert started
        assert procfs.is_same(process.pid, started)
        assert not procfs.is_same(process.pid, started - 1)
    assert not procfs.is_same(process.pid, started)


def test_needs_in_a_circle_are_refused() -> None:
    one = Process(name="one", argv=["true"], group="servers", cwd="/", needs=("two",))
    two = Process(name="two", argv=["true"], group="servers", cwd="/", needs=("one",))
    with pytest.raises(StackError, match="circle: one, two"):
        levels([one, two])


def test_a_log_is_cut_while_its_process_writes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_LOG_BYTES", 100)
    log = tmp_path / "service.log"
    with log.open("ab", buffering=0) as process:
        process.write(b"old" * 100)
        supervisor.cut_logs(tmp_path)
        process.write(b"new")
        supervisor.cut_logs(tmp_path)
    assert log.read_bytes() == b"new"
    assert (tmp_path / "service.log.1").read_bytes() == b"old" * 100


def test_logs_and_table_are_for_their_owner_alone(stack: "Stack") -> None:
    stack.add("service")
    stack.up()
    assert stack.state.path.stat().st_mode & 0o077 == 0
    assert stack.state.table.stat().st_mode & 0o077 == 0
    assert Path(stack.state.log("service")).exists()
