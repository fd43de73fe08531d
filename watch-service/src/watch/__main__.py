"""`python -m watch api|worker|migrate`."""

import argparse
import asyncio
import sys

from pydantic import ValidationError

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


def main() -> None:
    """Run one of the service's processes."""
    parser = argparse.ArgumentParser(prog="python -m watch")
    parser.add_argument("process", choices=["api", "worker", "migrate"])
    process = parser.parse_args().process
    try:
        settings = Settings()
    except ValidationError as error:
        for refused in error.errors():
            print(f"WATCH_{'_'.join(map(str, refused['loc'])).upper()}: {refused['msg']}", file=sys.stderr)
        sys.exit(2)
    configure_logging(f"watch-{process}", settings.log_level)
    configure_tracing(f"watch-{process}")
    if process == "api":
        run_api(create_app(settings), settings)
    elif process == "worker":
        run_worker_process(lambda: worker.run(settings))
    else:
        asyncio.run(_migrate(settings))


if __name__ == "__main__":
    main()
