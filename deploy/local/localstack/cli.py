"""The command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from localstack import commands, running
from localstack.errors import StackError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stack.py", description="The whole suite as local processes, without Docker.")
    sub = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        added = sub.add_parser(name, help=summary, description=summary)
        added.set_defaults(run=run)
        added.add_argument("--profile", default="dev", choices=("dev", "test"), help="which stack (default: dev)")
        return added

    up = command("up", commands.up, "install what is missing, start everything, return when it is ready")
    up.add_argument("--servers-only", action="store_true", help="start the servers, none of our services")
    command("down", commands.down, "stop everything, keep the data")
    command("status", commands.status, "show every process: state, restarts, memory, port")
    command("urls", commands.urls, "print where things are")
    command("clean", commands.clean, "stop everything and throw its data away")
    setup = command("setup", commands.setup, "install what is missing, start nothing")
    setup.add_argument("--python-only", action="store_true", help="the Python environment, no servers")
    setup.add_argument("--bench", action="store_true", help="what the gateway is compared with as well")
    command("compose-env", commands.compose_env, "write .env and print what docker compose needs besides, as exports")
    command("env", commands.env, "print the URLs of everything, and the administrator, as exports")
    logs = command("logs", commands.logs, "show the logs of one process or of all")
    logs.add_argument("name", nargs="?", help="a process of `status`")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as lines come")
    logs.add_argument("-n", "--lines", type=int, default=50, help="lines to begin with, of each process")
    servers = command("servers", commands.servers, "start or stop the servers alone; prints their URLs as exports")
    servers.add_argument("action", choices=("up", "down", "env"))
    for name, run, summary in (
        ("kill", commands.kill, "kill a process at once (SIGKILL) and keep it down until `start`"),
        ("stop", commands.stop, "stop a process (SIGTERM) and keep it down until `start`"),
        ("start", commands.start, "start a process that `kill` or `stop` took down, return when it is ready"),
    ):
        command(name, run, summary).add_argument("name", help="a process of `status`")
    once = command("run", running.run, "start a stack, run a command with its URLs in the environment, stop the stack")
    once.set_defaults(profile="test")
    once.add_argument("--servers-only", action="store_true", help="start the servers, none of our services")
    once.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- command …")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        result: int = options.run(options)
    except StackError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `stack.py logs | head` is no failure.
        sys.stderr.close()
        return 0
    return result
