"""The worker process: publishes the outbox, listens to users and genres, does what is due."""

from functools import partial

from chassis.app import create_app
from chassis.clock import require_agreement
from chassis.events.consumer import Consumer, ConsumerMetrics
from chassis.events.publisher import Publisher
from chassis.events.sql_outbox import RelayMetrics, SqlRelay
from chassis.events.topology import load_topology
from chassis.metrics import new_registry
from chassis.migrations import require_schema
from chassis.process import Task, run_worker
from subscription.config import Settings
from subscription.consumers.genres import genre_handlers
from subscription.consumers.users import user_handlers
from subscription.factory import build_resources
from subscription.jobs.periodic import expire_subscriptions, finish_moves, index_packages, sweep_answers
from subscription.migrations import SCRIPTS
from subscription.storage.tables import outbox

NAME = "subscription-worker"


async def run(settings: Settings) -> None:
    """Run all tasks until the process is told to stop."""
    resources = build_resources(settings)
    registry = new_registry()
    broker_url = settings.broker_url.get_secret_value()
    topology = load_topology()
    publisher = Publisher(broker_url, NAME, topology)
    relay = SqlRelay(resources.database, outbox, publisher, RelayMetrics(registry), heartbeat_of="subscription")
    metrics = ConsumerMetrics(registry)
    users = Consumer(
        broker_url, NAME, topology, "subscription.users.v1", user_handlers(resources.users), publisher, metrics
    )
    genres = Consumer(
        broker_url, NAME, topology, "subscription.genres.v1", genre_handlers(resources.genres), publisher, metrics
    )
    tasks: dict[str, Task] = {
        "relay": relay.run,
        "users": users.run,
        "genres": genres.run,
        "expiry": lambda: expire_subscriptions(resources.subscriptions, settings.expiry_interval_seconds),
        "moves": lambda: finish_moves(resources.moves),
        "index": lambda: index_packages(resources.packages),
        "sweep": lambda: sweep_answers(resources.creator, settings.sweep_interval_seconds),
    }
    operations = create_app(
        title=NAME,
        routers=[],
        checks={
            "database": lambda: require_schema(resources.database.engine, SCRIPTS),
            "clock": partial(require_agreement, resources.database.now),
        },
        registry=registry,
    )
    try:
        await run_worker(tasks, operations, settings)
    finally:
        await publisher.aclose()
        await resources.aclose()
