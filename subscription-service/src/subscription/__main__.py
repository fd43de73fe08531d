"""Entry point: `python -m subscription api|worker|migrate`."""

import argparse
import sys

from pydantic import ValidationError

from chassis.logging import configure_logging
from chassis.migrations import upgrade
from chassis.process import run_api, run_worker_process
from chassis.tracing import configure_tracing
from subscription import worker
from subscription.config import Settings
from subscription.main import create_app
from subscription.migrations import SCRIPTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="subscription", description="Packages, subscriptions and entitlements")
    parser.add_argument("process", choices=["api", "worker", "migrate"])
    process = parser.parse_args().process
    try:
        settings = Settings()  # filled from the environment
    except ValidationError as error:
        print(f"The settings are not usable (variables begin with SUBSCRIPTION_):\n{error}", file=sys.stderr)
        return 2
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
