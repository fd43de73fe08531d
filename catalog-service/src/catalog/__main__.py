"""`python -m catalog api|worker|migrate`."""

import argparse
import asyncio

from catalog import worker
from catalog.config import Settings
from catalog.main import create_catalog_app
from catalog.storage.schema import migrate
from chassis.logging import configure_logging
from chassis.mongo import Mongo
from chassis.process import run_api, run_worker_process


async def _migrate(settings: Settings) -> None:
    mongo = Mongo(settings.database_url.get_secret_value())
    try:
        await migrate(mongo.database)
    finally:
        await mongo.aclose()


def main() -> None:
    """Run one process of the service."""
    parser = argparse.ArgumentParser(prog="catalog", description="Genres and movies from TMDB, listed by entitlement")
    parser.add_argument("process", choices=["api", "worker", "migrate"])
    process = parser.parse_args().process
    settings = Settings()
    if process == "api":
        configure_logging("catalog-api", settings.log_level)
        run_api(create_catalog_app(settings), settings)
    elif process == "worker":
        run_worker_process(lambda: worker.run(settings))
    else:
        configure_logging("catalog-migrate", settings.log_level)
        asyncio.run(_migrate(settings))


if __name__ == "__main__":
    main()
