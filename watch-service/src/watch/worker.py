"""The worker: hears of renamed genres and deleted users."""

from functools import partial

from chassis.app import create_app
from chassis.clock import require_agreement
from chassis.events.consumer import Consumer, ConsumerMetrics
from chassis.events.publisher import Publisher
from chassis.events.topology import load_topology
from chassis.metrics import new_registry
from chassis.process import run_worker
from watch.config import Settings
from watch.consumers.registry import handlers
from watch.factory import Factory
from watch.storage.schema import require_schema


async def run(settings: Settings) -> None:
    """Consume until the process is told to stop."""
    factory = Factory(settings)
    broker_url = settings.broker_url.get_secret_value()
    topology = load_topology()
    publisher = Publisher(broker_url, "watch-worker-publisher", topology)
    registry = new_registry()
    metrics = ConsumerMetrics(registry)
    consumers = {
        queue: Consumer(broker_url, f"watch-worker {queue}", topology, queue, by_type, publisher, metrics)
        for queue, by_type in handlers(factory.create_lifecycle_service).items()
    }
    operations = create_app(
        title="watch-service worker",
        routers=[],
        checks={
            "database": partial(require_schema, factory.mongo.database),
            "clock": partial(require_agreement, factory.mongo.now),
        },
        registry=registry,
    )
    try:
        tasks = {queue: consumer.run for queue, consumer in consumers.items()}
        tasks["sessions"] = factory.session_leases.keep_ending_expired
        tasks["store"] = factory.mongo.watch
        await run_worker(tasks, operations, settings)
    finally:
        await publisher.aclose()
        await factory.aclose()
