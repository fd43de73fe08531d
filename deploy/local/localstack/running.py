"""`run`: a stack for the time of one command, on ports and data of its own."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from localstack import bootstrap, lifecycle, planning
from localstack.commands import say
from localstack.errors import StackError
from localstack.plan import External, Plan
from localstack.ports import claim_offset
from localstack.state import State


def run(options: argparse.Namespace) -> int:
    """Start, run the command, stop; returns the command's exit code."""
    argv: Sequence[str] = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise StackError("say what to run: stack.py run -- command …")
    external = External.of(planning.environment())
    bootstrap.ensure(planning.ROOT, external, say, with_test_programs=not options.servers_only)
    node = None
    if not options.servers_only:
        bootstrap.ensure_browser(say)
        node = bootstrap.ensure_node(planning.ROOT, say)
    claim = claim_offset()
    folder = Path(tempfile.mkdtemp(prefix="movie-suite-"))
    code = 1
    try:
        plan = planning.make(
            State(folder),
            options.profile,
            throw_away=True,
            offset=claim.offset,
            servers_only=options.servers_only,
        )
        with _stack(plan):
            found = {"STACK_NODE": str(node)} if node else {}
            code = _command(argv, os.environ | planning.exports(plan) | found)
    finally:
        if code:
            _keep_logs(State(folder))
        shutil.rmtree(folder, ignore_errors=True)
        claim.release()
    return code


@contextmanager
def _stack(plan: Plan) -> Iterator[None]:
    reading, writing = os.pipe()
    # From here on SIGTERM ends the command and then, in order, the stack.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        lifecycle.start(plan.state, planning.process_table(plan), tether=reading)
        lifecycle.wait_ready(plan.state, say)
        yield
    finally:
        # Whoever is impatient and sends another one must not keep the end from being orderly.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        lifecycle.stop(plan.state)
        os.close(writing)
        os.close(reading)
        _drop_databases(plan)
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _command(argv: Sequence[str], environment: dict[str, str]) -> int:
    try:
        child = subprocess.Popen(argv, env=environment)
    except OSError as error:
        raise StackError(f"{argv[0]}: {error.strerror}") from None
    while True:
        try:
            return _shell_code(child.wait())
        except KeyboardInterrupt:
            # A terminal has sent it to the command as well; whoever sent SIGTERM has not.
            child.terminate()


def _shell_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _drop_databases(plan: Plan) -> None:
    if plan.servers_only or not planning.provisioning(plan):
        return
    argv, environment = planning.provision_command(plan, "drop")
    subprocess.run(argv, env=environment, check=False)


def _keep_logs(state: State) -> None:
    if not state.logs.exists():
        return
    kept = planning.ROOT / ".local" / "failed-run"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(state.logs, kept)
    say(f"the logs of this run are kept in {kept}")
