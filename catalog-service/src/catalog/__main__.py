"""`python -m catalog api|worker|migrate|events`."""

import argparse
import asyncio
import sys

from catalog import cli, worker
from catalog.config import Settings
from catalog.main import create_catalog_app
from catalog.storage.schema import migrate
from chassis.events.operator import add_commands, run_command
from chassis.events.topology import load_topology
from chassis.logging import configure_logging
from chassis.mongo import Mongo
from chassis.process import run_api, run_worker_process
from chassis.tracing import configure_tracing


async def _migrate(settings: Settings) -> None:
    mongo = Mongo(settings.database_url.get_secret_value())
    try:
        await migrate(mongo.database)
    finally:
        await mongo.aclose()


def main(arguments: list[str] | None = None) -> int:
    """Run one process of the service, or a command; its exit status."""
    parser = argparse.ArgumentParser(prog="catalog", description="Genres and movies from TMDB, listed by entitlement")
    commands = parser.add_subparsers(dest="process", required=True)
    for name in ("api", "worker", "migrate"):
        commands.add_parser(name)
    topology = load_topology()
    actions = cli.event_actions(Settings)
    add_commands(commands, topology, "catalog", actions, cli.PROJECTIONS)
    options = parser.parse_args(arguments)
    process = options.process
    settings = Settings()
    if process == "api":
        configure_logging("catalog-api", settings.log_level)
        configure_tracing("catalog-api")
        run_api(create_catalog_app(settings), settings)
    elif process == "worker":
        run_worker_process(lambda: worker.run(settings))
    elif process == "events":
        return run_command(options, topology, settings.broker_url.get_secret_value(), actions)
    else:
        configure_logging("catalog-migrate", settings.log_level)
        asyncio.run(_migrate(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
