"""`python -m identity <command>`."""

import argparse
import asyncio
import sys
from functools import partial

from chassis.events.operator import add_commands, run_command
from chassis.events.topology import load_topology
from chassis.logging import configure_logging
from chassis.process import run_api, run_worker_process
from chassis.tracing import configure_tracing
from identity import cli, worker
from identity.config import Settings
from identity.main import build_app

TOPOLOGY = load_topology()
EVENT_ACTIONS = cli.event_actions(Settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m identity", description="Accounts, sessions and recovery.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("api", help="serve the HTTP API")
    commands.add_parser("worker", help="publish events, send mails, rotate keys, sweep")
    commands.add_parser("migrate", help="bring the database schema up to date and make the first administrator")
    admin = commands.add_parser("create-admin", help="make an administrator; the password is read from standard input")
    admin.add_argument("--email", required=True)
    admin.add_argument("--name", default="Administrator")
    keys = commands.add_parser("keys", help="the keys that sign access tokens").add_subparsers(
        dest="action", required=True
    )
    keys.add_parser("list", help="show the keys and their states")
    rotate = keys.add_parser("rotate", help="make a new key; it signs once every service has fetched it")
    rotate.add_argument("--at-once", action="store_true", help="sign with it now (after a private key has leaked)")
    add_commands(commands, TOPOLOGY, "identity", EVENT_ACTIONS, cli.PROJECTIONS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command; its exit status."""
    options = _parser().parse_args(arguments)
    settings = Settings()
    if options.command == "events":
        return run_command(options, TOPOLOGY, settings.broker_url.get_secret_value(), EVENT_ACTIONS)
    configure_logging(f"identity-{options.command}", settings.log_level)
    configure_tracing(f"identity-{options.command}")
    match options.command:
        case "api":
            run_api(build_app(settings), settings)
        case "worker":
            run_worker_process(partial(worker.run, settings))
        case "migrate":
            cli.migrate(settings)
            return asyncio.run(cli.with_resources(settings, cli.prepare))
        case "create-admin":
            password = cli.read_password()
            command = partial(cli.create_admin, email=options.email, name=options.name, password=password)
            return asyncio.run(cli.with_resources(settings, command))
        case "keys" if options.action == "rotate":
            command = partial(cli.rotate_keys, at_once=options.at_once)
            return asyncio.run(cli.with_resources(settings, command))
        case _:
            return asyncio.run(cli.with_resources(settings, cli.list_keys))
    return 0


if __name__ == "__main__":
    sys.exit(main())
