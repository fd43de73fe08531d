"""Settings of the gateway, from environment variables `GATEWAY_…`."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from gateway import environment
from gateway.environment import flag, items, number, text, urls, whole

PREFIX = "GATEWAY_"


def _networks(value: str) -> str:
    for part in items(value):
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise ValueError("must be addresses or networks, separated by commas") from None
    return value


Urls = Annotated[list[str], urls]
Positive = Annotated[float, number(above=0)]
NotNegative = Annotated[float, number()]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Everything that can be set. Times are in seconds, sizes in bytes unless the name says otherwise."""

    host: Annotated[str, text(least=1)] = "127.0.0.1"
    port: Annotated[int, whole(0, 65535)] = 8080
    ops_port: Annotated[int, whole(0, 65535)] = 9080
    log_level: Annotated[str, text(least=1)] = "INFO"
    # At the edge nobody is trusted unless named: X-Forwarded-For of other peers is ignored.
    trusted_proxies: Annotated[str, _networks] = ""

    identity_urls: Urls
    subscription_urls: Urls
    catalog_urls: Urls
    watch_urls: Urls
    broker_url: Annotated[str, text(least=1)] = field(repr=False)
    internal_token: Annotated[str, text(least=32)] = field(repr=False)
    # Where the public keys are; by default at identity-service.
    jwks_urls: Annotated[list[str] | None, urls] = None
    token_issuer: Annotated[str, text(least=1)] = "https://movie-package-suite.local"
    token_audience: Annotated[str, text(least=1)] = "edge"

    cors_origins: Annotated[str, text()] = ""
    max_url_bytes: Annotated[int, whole(256)] = 8192
    max_header_bytes: Annotated[int, whole(1024)] = 16384
    max_header_count: Annotated[int, whole(10)] = 100
    max_body_bytes: Annotated[int, whole(1024)] = 1024 * 1024
    max_client_connections: Annotated[int, whole(10)] = 10_000

    # How long a client may take: for the head of a request, for its body, between requests, to take an answer.
    header_seconds: Positive = 10.0
    body_seconds: Positive = 30.0
    keep_alive_seconds: Positive = 75.0
    write_stall_seconds: Positive = 60.0
    # An answer that has begun and stops for this long is given up.
    upstream_stall_seconds: Positive = 30.0

    connect_seconds: Positive = 1.0
    # Below the 75 s after which the services close an idle connection themselves.
    upstream_idle_seconds: Positive = 30.0
    upstream_max_active: Annotated[int, whole(1)] = 256
    upstream_max_waiting: Annotated[int, whole(0)] = 512
    upstream_wait_seconds: Positive = 2.0
    resolve_seconds: Positive = 5.0
    breaker_failures: Annotated[int, whole(1)] = 8
    breaker_open_seconds: Positive = 1.0
    breaker_max_open_seconds: Positive = 8.0
    # Replays may add this share to the requests, and this many a second when there is little traffic.
    retry_share: Annotated[float, number(most=1)] = 0.2
    retry_per_second: NotNegative = 5.0

    # Requests a second and at once; per replica. A whole company may come from one address.
    user_rate: Positive = 200.0
    user_burst: Annotated[int, whole(1)] = 1000
    address_rate: Positive = 2000.0
    address_burst: Annotated[int, whole(1)] = 5000
    credentials_rate: Positive = 50.0
    credentials_burst: Annotated[int, whole(1)] = 500

    drain_notice_seconds: NotNegative = 0.5
    # Together with the notice below the 20 s that every process has to finish.
    drain_seconds: Positive = 18.0
    access_log: Annotated[bool, flag] = True

    def upstreams(self) -> dict[str, list[str]]:
        """The base URLs of each service."""
        return {
            "identity": self.identity_urls,
            "subscription": self.subscription_urls,
            "catalog": self.catalog_urls,
            "watch": self.watch_urls,
        }

    def jwks_addresses(self) -> list[str]:
        """Where the public keys are fetched."""
        return self.jwks_urls or [f"{url}/.well-known/jwks.json" for url in self.identity_urls]

    def allowed_origins(self) -> frozenset[bytes]:
        """The origins that browsers may call from."""
        return frozenset(origin.encode() for origin in items(self.cors_origins))


def load(variables: Mapping[str, str] = os.environ) -> GatewaySettings:
    """The settings of this process. Raises `InvalidSettingsError`."""
    return environment.read(GatewaySettings, PREFIX, variables)
