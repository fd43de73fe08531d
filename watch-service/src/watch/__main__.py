"""`python -m watch api|worker|migrate|events`."""

import argparse
import asyncio
import sys

from pydantic import ValidationError

from chassis.events.operator import add_commands, run_command
from chassis.events.topology import load_topology
from chassis.logging import configure_logging
from chassis.mongo import Mongo
from chassis.process import run_api, run_worker_process
from chassis.tracing import configure_tracing
from watch import worker
from watch.config import Settings
from watch.main import create_app
from watch.storage.schema import migrate


async def _migrate(settings: Settings) -> None:
    mongo = Mongo(settings.database_url.get_secret_value())
    try:
        await migrate(mongo)
    finally:
        await mongo.aclose()


def main(arguments: list[str] | None = None) -> int:
    """Run one of the service's processes, or a command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m watch")
    commands = parser.add_subparsers(dest="process", required=True)
    for name in ("api", "worker", "migrate"):
        commands.add_parser(name)
    topology = load_topology()
    # Nothing is published from here, and what is held of others is told again by them.
    add_commands(commands, topology, "watch", {})
    options = parser.parse_args(arguments)
    process = options.process
    try:
        settings = Settings()
    except ValidationError as error:
        for refused in error.errors():
            print(f"WATCH_{'_'.join(map(str, refused['loc'])).upper()}: {refused['msg']}", file=sys.stderr)
        sys.exit(2)
    if process == "events":
        return run_command(options, topology, settings.broker_url.get_secret_value(), {})
    configure_logging(f"watch-{process}", settings.log_level)
    configure_tracing(f"watch-{process}")
    if process == "api":
        run_api(create_app(settings), settings)
    elif process == "worker":
        run_worker_process(lambda: worker.run(settings))
    else:
        asyncio.run(_migrate(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
