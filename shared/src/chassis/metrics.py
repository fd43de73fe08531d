"""Prometheus metrics of one process, kept in a registry of its own so that tests can start several."""

from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from chassis.errors import ServiceError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def new_registry() -> CollectorRegistry:
    """A registry with the process's own figures (CPU, memory, file descriptors, garbage collection)."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class HttpMetrics:
    """Rate, errors and duration of answered requests; the route label is a template, never a raw path.

    Problems count by their stable code as well, so that a failed login or a limit that was reached shows by its name.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter("http_requests", "Requests answered.", ("method", "route", "status"), registry=registry)
        seconds = Histogram(
            "http_request_seconds", "Time to answer.", ("method", "route"), buckets=_BUCKETS, registry=registry
        )
        # Looking up a series costs more than counting in it.
        self._count = cache(lambda method, route, status: requests.labels(method, route, str(status)))
        self._time = cache(seconds.labels)
        self._problems = Counter("http_problems", "Problems answered.", ("route", "code"), registry=registry)
        self._throttled = Counter(
            "http_throttled", "Requests refused by a limit, by its name.", ("route", "policy"), registry=registry
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._count(method, route, status).inc()
        self._time(method, route).observe(seconds)

    def refuse(self, route: str, problem: ServiceError) -> None:
        """Count the problem that a request was answered with."""
        self._problems.labels(route, problem.code).inc()
        if (policy := problem.headers.get("RateLimit-Policy")) is not None:
            # Begins with the name in quotes.
            self._throttled.labels(route, policy.split('"')[1]).inc()


def render(registry: CollectorRegistry) -> bytes:
    """All metrics of `registry` in Prometheus' text format."""
    return generate_latest(registry)
