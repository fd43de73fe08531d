"""What the gateway counts: plain dictionaries on the way of a request, turned into metrics when they are asked for."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from chassis.tokens import AccessTokenVerifier
    from gateway.rate_limit import RateLimiter
    from gateway.revocations import RevocationFeed, Revocations
    from gateway.upstream.pool import UpstreamPool

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestCounts:
    """Requests by method, route template and status, and how long they took by method and template."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], int] = {}
        self.seconds: dict[tuple[str, str], list[float]] = {}

    def add(self, method: str, template: str, status: int, seconds: float) -> None:
        """Count one finished exchange."""
        key = (method, template, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        timing = self.seconds.get((method, template))
        if timing is None:
            timing = self.seconds[(method, template)] = [0.0] * (len(_BUCKETS) + 2)
        timing[bisect_left(_BUCKETS, seconds)] += 1
        timing[-1] += seconds

    def collect(self) -> Iterable[Metric]:
        total = CounterMetricFamily("http_requests", "Requests answered.", labels=("method", "route", "status"))
        for (method, template, status), count in self.requests.items():
            total.add_metric((method, template, str(status)), count)
        yield total
        duration = HistogramMetricFamily("http_request_seconds", "Time to answer.", labels=("method", "route"))
        for labels, timing in self.seconds.items():
            *counts, summed = timing
            buckets = list(zip((*map(str, _BUCKETS), "+Inf"), accumulate(counts), strict=True))
            duration.add_metric(labels, buckets=buckets, sum_value=summed)
        yield duration


class GatewayCollector(Collector):
    """Reads the gateway's state when Prometheus asks."""

    def __init__(  # noqa: PLR0913 - one for each thing that is shown
        self,
        counts: RequestCounts,
        pools: Mapping[str, "UpstreamPool"],
        limiters: Iterable["RateLimiter"],
        revocations: "Revocations",
        feed: "RevocationFeed",
        verifier: "AccessTokenVerifier",
        connections: Callable[[], int],
        now: Callable[[], float],
    ) -> None:
        self._counts = counts
        self._pools = pools
        self._limiters = list(limiters)
        self._revocations = revocations
        self._feed = feed
        self._verifier = verifier
        self._connections = connections
        self._now = now

    def collect(self) -> Iterable[Metric]:
        yield from self._counts.collect()
        yield from self._upstreams()
        limited = CounterMetricFamily("gateway_rate_limited", "Requests refused by a rate limit.", labels=("policy",))
        for limiter in self._limiters:
            limited.add_metric((limiter.policy.name,), limiter.refused)
        yield limited
        denied = GaugeMetricFamily("gateway_revocations", "Entries of the deny-list.", labels=("kind",))
        for kind, size in self._revocations.sizes.items():
            denied.add_metric((kind,), size)
        yield denied
        yield GaugeMetricFamily(
            "gateway_revocation_feed_age_seconds",
            "For how long a revocation could have been missed; 0 while events come in.",
            value=min(self._feed.age, 1e9),
        )
        yield GaugeMetricFamily(
            "gateway_verified_tokens", "Tokens that need no verification.", value=self._verifier.remembered
        )
        yield GaugeMetricFamily("gateway_client_connections", "Open client connections.", value=self._connections())

    def _upstreams(self) -> Iterable[Metric]:
        now = self._now()
        gauges: Mapping[str, tuple[str, Callable[[UpstreamPool], float]]] = {
            "active": ("Exchanges under way.", lambda pool: pool.active),
            "waiting": ("Exchanges waiting for a connection.", lambda pool: pool.waiting),
            "idle_connections": ("Idle connections.", lambda pool: pool.idle),
            "addresses": ("Known addresses.", lambda pool: len(pool.balancer.endpoints)),
            "healthy_addresses": ("Addresses that take part.", lambda pool: pool.balancer.healthy(now)),
            "breaker_state": ("0 closed, 1 half-open, 2 open.", lambda pool: pool.breaker.state(now).value),
        }
        for name, (text, value) in gauges.items():
            gauge = GaugeMetricFamily(f"gateway_upstream_{name}", text, labels=("upstream",))
            for pool in self._pools.values():
                gauge.add_metric((pool.name,), value(pool))
            yield gauge
        retries = CounterMetricFamily("gateway_upstream_retries", "Further attempts made.", labels=("upstream",))
        failures = CounterMetricFamily(
            "gateway_upstream_failures", "Attempts that failed, by reason.", labels=("upstream", "reason")
        )
        opened = CounterMetricFamily(
            "gateway_upstream_breaker_opened", "Times the breaker opened.", labels=("upstream",)
        )
        for pool in self._pools.values():
            retries.add_metric((pool.name,), pool.retries)
            opened.add_metric((pool.name,), pool.breaker.opened)
            for failure, count in pool.failures.items():
                failures.add_metric((pool.name, failure.value), count)
        yield from (retries, failures, opened)
