"""Commands about a stack that stays in the background."""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from localstack import bootstrap, compose, lifecycle, logs_view, planning, probes, procfs, services, tmdb_source
from localstack.errors import StackError
from localstack.plan import External, Plan
from localstack.ports import THROW_AWAY_OFFSETS
from localstack.state import State, Status

_MEBIBYTE = 1024 * 1024


def say(text: str) -> None:
    """Tell the user how it goes; standard output stays for results."""
    print(text, file=sys.stderr, flush=True)


def _plan(options: argparse.Namespace, *, servers_only: bool = False) -> Plan:
    state = planning.lasting_state(options.profile)
    offset = 0 if options.profile == "dev" else THROW_AWAY_OFFSETS[0]
    return planning.make(state, options.profile, throw_away=False, offset=offset, servers_only=servers_only)


def up(options: argparse.Namespace) -> int:
    """Start the stack and return when it is ready; on failure nothing is left running."""
    began = time.monotonic()
    state = planning.lasting_state(options.profile)
    if state.supervisor() is not None:
        say("the stack is running already; `down` first to start it with other settings")
        lifecycle.wait_ready(state, lambda _: None)
    else:
        bootstrap.ensure(planning.ROOT, External.of(planning.environment()), say)
        plan = _plan(options, servers_only=options.servers_only)
        try:
            lifecycle.start(plan.state, planning.process_table(plan))
            lifecycle.wait_ready(plan.state, say)
        except (StackError, KeyboardInterrupt):
            lifecycle.stop(plan.state)
            raise
        say(f"ready after {time.monotonic() - began:.1f} s")
        if not options.servers_only:
            tmdb_source.refresh(plan, say)
    if options.servers_only:
        _print_exports(planning.exports(_plan(options, servers_only=True)))
        return 0
    return urls(options)


def setup(options: argparse.Namespace) -> int:
    """Install what is missing and write `.env`."""
    if options.bench:
        bootstrap.ensure_benchmark_programs(say)
    everything = not options.python_only
    external = External.of(planning.environment())
    bootstrap.ensure(planning.ROOT, external, say, with_servers=everything, with_test_programs=everything)
    if everything:
        bootstrap.ensure_browser(say)
        bootstrap.ensure_node(planning.ROOT, say)
    _plan(options)
    return 0


def compose_env(options: argparse.Namespace) -> int:
    """What docker-compose.yml cannot work out for itself."""
    compose.require_plugin()
    _print_exports(compose.exports(_plan(options)))
    return 0


def env(options: argparse.Namespace) -> int:
    """Where everything of the stack is, for a shell."""
    _print_exports(planning.exports(_plan(options)))
    return 0


def down(options: argparse.Namespace) -> int:
    """Stop the stack; its data stays."""
    stopped = lifecycle.stop(planning.lasting_state(options.profile))
    say("stopped" if stopped else "nothing was running")
    return 0


def clean(options: argparse.Namespace) -> int:
    """Stop the stack and throw its data away; `.env` stays."""
    state = planning.lasting_state(options.profile)
    lifecycle.stop(state)
    shutil.rmtree(state.path, ignore_errors=True)
    return 0


def servers(options: argparse.Namespace) -> int:
    """The servers alone, for running tests by hand: `source <(stack.py servers up)`."""
    if options.action == "down":
        return down(options)
    if options.action == "up":
        options.servers_only = True
        return up(options)
    _print_exports(planning.exports(_plan(options, servers_only=True)))
    return 0


def _print_exports(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if name != "STACK_STATE":
            print(f"export {name}={shlex.quote(value)}")


def urls(options: argparse.Namespace) -> int:
    """Where a person finds things."""
    plan = _plan(options)
    gateway = services.public_url(plan)
    page = f"http://localhost:{plan.ports.of('mail-page')}"
    password = "in the environment" if "ADMIN_PASSWORD" in planning.environment() else "ADMIN_PASSWORD in .env"
    tmdb = plan.local_url("tmdb-simulator") + " (simulator: no TMDB_TOKEN is set)" if plan.simulates_tmdb else "real"
    for name, value in (
        ("API", gateway),
        ("documentation", f"{gateway}/docs"),
        ("mails", page),
        ("metrics", f"{plan.local_url('gateway-ops')}/metrics"),
        ("TMDB", tmdb),
        ("administrator", f"{plan.settings['ADMIN_EMAIL']}, password: {password}"),
        ("logs", str(plan.state.logs)),
    ):
        print(f"{name + ':':<15} {value}")
    return 0


def status(options: argparse.Namespace) -> int:
    """A line for each process; 0 if all are as they should be, 3 if not (as `systemctl status` has it)."""
    state = planning.lasting_state(options.profile)
    rows, failure = state.read()
    if state.supervisor() is None:
        print("not running")
        return 3
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(_answers, rows))
    memory = procfs.group_memory()
    print(f"{'process':<24} {'state':<12} {'pid':>8} {'restarts':>8} {'memory':>8} {'port':>6}")
    total = 0
    for row, answer in zip(rows, answers, strict=True):
        resident = memory.get(row.pid, 0) if row.pid is not None else 0
        total += resident
        shown = row.state if answer or row.state != "ready" else "not ready"
        size = f"{resident // _MEBIBYTE} MiB" if resident else ""
        columns = f"{row.name:<24} {shown:<12} {row.pid or '':>8} {row.restarts:>8} {size:>8} {row.port or '':>6}"
        print(f"{columns} {row.detail}".rstrip())
    once = procfs.proportional_memory({row.pid for row in rows if row.pid is not None})
    print(f"{'all processes':<55} {total // _MEBIBYTE:>4} MiB ({once // _MEBIBYTE} MiB with shared pages counted once)")
    good = all(answers) and all(row.state in ("done", "ready") for row in rows)
    return 0 if good and not failure else 3


def _answers(row: Status) -> bool:
    return not row.probe or row.state != "ready" or probes.passes(row.probe)


def logs(options: argparse.Namespace) -> int:
    """The end of the logs."""
    state = planning.lasting_state(options.profile)
    found = sorted(state.logs.glob("*.log"))
    chosen = [log for log in found if options.name in (None, log.stem)]
    if not chosen:
        known = ", ".join(log.stem for log in found) or "none"
        raise StackError(f"there is no log of {options.name or 'any process'}; there are: {known}")
    logs_view.show(chosen, options.lines, follow=options.follow)
    return 0


def kill(options: argparse.Namespace) -> int:
    """End a process without warning, as a crash or an operator would."""
    lifecycle.take_down(_running(options), options.name, signal.SIGKILL)
    return 0


def stop(options: argparse.Namespace) -> int:
    """End a process in good order."""
    lifecycle.take_down(_running(options), options.name, signal.SIGTERM)
    return 0


def start(options: argparse.Namespace) -> int:
    """Start a process that was taken down."""
    lifecycle.bring_up(_running(options), options.name)
    return 0


def _running(options: argparse.Namespace) -> State:
    return planning.lasting_state(options.profile)
