"""What events show to Prometheus. `docs/events.md` says what each is good for."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LAG_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 600)


class RelayMetrics:
    """How an outbox is doing. All replicas look at the same outbox, so that the largest figure counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter("outbox_published", "Events published.", ("type",), registry=registry)
        self.failures = Counter("outbox_publish_failures", "Publishing attempts that failed.", registry=registry)
        self.depth = Gauge("outbox_depth", "Events that wait to be published.", registry=registry)
        self.age = Gauge("outbox_oldest_seconds", "Age of the oldest waiting event.", registry=registry)


class ConsumerMetrics:
    """What became of the messages of each queue, and how far behind the queue is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "event_messages", "Messages consumed, by what became of them.", ("queue", "outcome"), registry=registry
        )
        self.lag = Histogram(
            "event_lag_seconds", "From change to applied.", ("queue",), buckets=_LAG_BUCKETS, registry=registry
        )
        self.waiting = Gauge(
            "event_queue_waiting", "Messages that nobody has taken yet.", ("queue",), registry=registry
        )
        self.parked = Gauge(
            "event_queue_parked", "Messages that an operator has to look at.", ("queue",), registry=registry
        )
        # A time and not an age: it is right also while nothing runs that could count.
        self.heartbeat = Gauge(
            "event_last_heartbeat_timestamp_seconds",
            "When this replica last heard a heartbeat of the producers; absent before the first.",
            ("queue",),
            registry=registry,
        )


class ProjectionMetrics:
    """What comparing a projection with its source has found. Only the replica that compares has these."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.compared = Gauge(
            "projection_compared_timestamp_seconds",
            "When the projection was last known to equal its source.",
            ("projection",),
            registry=registry,
        )
        self.repaired = Counter(
            "projection_repaired", "Entries that events had left wrong.", ("projection",), registry=registry
        )
