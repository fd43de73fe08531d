"""The worker: everything that happens without a request."""

from functools import partial

from catalog.clients.tmdb.client import Patience
from catalog.config import Settings
from catalog.consumers.entitlements import QUEUE, EntitlementsConsumer
from catalog.domain.events import ENTITLEMENTS_CHANGED
from catalog.factory import Resources, create_genre_sync, create_healing, create_movie_sync, worker_name
from catalog.jobs.healing import HealingSweep
from catalog.jobs.leader import Leader
from catalog.jobs.outbox_relay import OutboxRelay
from catalog.jobs.synchronization import Synchronization, SyncMetrics
from chassis.app import create_app
from chassis.clock import require_agreement
from chassis.events.consumer import Consumer, ConsumerMetrics
from chassis.events.metrics import ProjectionMetrics, RelayMetrics
from chassis.events.publisher import Publisher
from chassis.events.topology import load_topology
from chassis.logging import configure_logging
from chassis.metrics import new_registry
from chassis.process import run_worker
from chassis.tracing import configure_tracing


async def run(settings: Settings) -> None:
    """Run until SIGTERM."""
    configure_logging("catalog-worker", settings.log_level)
    configure_tracing("catalog-worker")
    registry = new_registry()
    name = worker_name()
    topology = load_topology()
    broker_url = settings.broker_url.get_secret_value()
    publisher = Publisher(broker_url, f"{name}-publish", topology)
    resources = Resources(settings, Patience(seconds=settings.tmdb_timeout_seconds))
    synchronization = Synchronization(
        create_genre_sync(resources),
        create_movie_sync(resources),
        resources.states,
        resources.genres,
        resources.revisions,
        SyncMetrics(registry),
        resources.clock,
    )
    relay = OutboxRelay(resources.genres, publisher, RelayMetrics(registry))
    consumer = Consumer(
        broker_url,
        f"{name}-consume",
        topology,
        QUEUE,
        {ENTITLEMENTS_CHANGED: EntitlementsConsumer(resources.entitlements, resources.clock).changed},
        publisher,
        ConsumerMetrics(registry),
    )
    sweep = HealingSweep(create_healing(resources), ProjectionMetrics(registry))
    leases = resources.leases
    tasks = {
        "synchronization": Leader(leases, "sync", name, synchronization.lead).run,
        "outbox": Leader(leases, "outbox", name, relay.lead).run,
        "healing": Leader(leases, "healing", name, sweep.lead).run,
        "entitlements": consumer.run,
        "store": resources.mongo.watch,
    }
    operations = create_app(
        title="catalog-service worker",
        routers=[],
        checks={"database": resources.require_schema, "clock": partial(require_agreement, resources.mongo.now)},
        registry=registry,
    )
    try:
        await run_worker(tasks, operations, settings)
    finally:
        await publisher.aclose()
        await resources.aclose()
