"""The background process of identity-service: events, mails, maintenance."""

from functools import partial

from chassis.app import create_app
from chassis.clock import require_agreement
from chassis.events.publisher import Publisher
from chassis.events.sql_outbox import RelayMetrics, SqlRelay
from chassis.events.topology import load_topology
from chassis.metrics import new_registry
from chassis.migrations import require_schema
from chassis.process import run_worker
from identity.config import Settings
from identity.factory import build_resources
from identity.jobs.mail import send_mails
from identity.jobs.maintenance import maintain
from identity.migrations import MIGRATIONS
from identity.storage.tables import outbox


async def run(settings: Settings) -> None:
    """Work until SIGTERM."""
    registry = new_registry()
    resources = build_resources(settings, registry)
    publisher = Publisher(settings.broker_url.get_secret_value(), "identity-worker", load_topology())
    relay = SqlRelay(resources.database, outbox, publisher, RelayMetrics(registry), heartbeat_of="identity")

    async def schema_is_current() -> None:
        await require_schema(resources.database.engine, MIGRATIONS)

    operations = create_app(
        title="identity-worker",
        routers=[],
        checks={"database": schema_is_current, "clock": partial(require_agreement, resources.database.now)},
        registry=registry,
    )
    try:
        await run_worker(
            {
                "relay": relay.run,
                "mail": partial(send_mails, resources.mail_delivery),
                "maintenance": partial(
                    maintain, resources.accounts, resources.signing_keys, resources.housekeeping, settings
                ),
            },
            operations,
            settings,
        )
    finally:
        await publisher.aclose()
        await resources.aclose()
