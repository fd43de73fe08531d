"""Entry point: `python -m subscription api|worker|migrate|events`."""

import argparse
import sys

from pydantic import ValidationError

from chassis.events.operator import add_commands, run_command
from chassis.events.topology import load_topology
from chassis.logging import configure_logging
from chassis.migrations import upgrade
from chassis.process import run_api, run_worker_process
from chassis.tracing import configure_tracing
from subscription import cli, worker
from subscription.config import Settings
from subscription.main import create_app
from subscription.migrations import SCRIPTS


def main(arguments: list[str] | None = None) -> int:
    """Run one process of the service, or a command; its exit status."""
    parser = argparse.ArgumentParser(prog="subscription", description="Packages, subscriptions and entitlements")
    commands = parser.add_subparsers(dest="process", required=True)
    for name in ("api", "worker", "migrate"):
        commands.add_parser(name)
    topology = load_topology()
    actions = cli.event_actions(Settings)
    add_commands(commands, topology, "subscription", actions, cli.PROJECTIONS)
    options = parser.parse_args(arguments)
    process = options.process
    try:
        settings = Settings()  # filled from the environment
    except ValidationError as error:
        print(f"The settings are not usable (variables begin with SUBSCRIPTION_):\n{error}", file=sys.stderr)
        return 2
    if process == "events":
        return run_command(options, topology, settings.broker_url.get_secret_value(), actions)
    configure_logging(f"subscription-{process}", settings.log_level)
    configure_tracing(f"subscription-{process}")
    if process == "migrate":
        upgrade(SCRIPTS, settings.database_url.get_secret_value())
    elif process == "api":
        run_api(create_app(settings), settings)
    else:
        run_worker_process(lambda: worker.run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
