"""Settings of the gateway, from environment variables `GATEWAY_…`."""

import ipaddress

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import ProcessSettings, UrlList


class GatewaySettings(ProcessSettings):
    """Everything that can be set. Times are in seconds, sizes in bytes unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    port: int = Field(8080, ge=0, le=65535)
    ops_port: int = Field(9080, ge=0, le=65535)
    # At the edge nobody is trusted unless named: X-Forwarded-For of other peers is ignored.
    trusted_proxies: str = ""

    identity_urls: UrlList
    subscription_urls: UrlList
    catalog_urls: UrlList
    watch_urls: UrlList
    broker_url: SecretStr
    internal_token: SecretStr = Field(min_length=32)
    # Where the public keys are; by default at identity-service.
    jwks_urls: UrlList | None = None
    token_issuer: str = "https://movie-package-suite.local"
    token_audience: str = "edge"

    cors_origins: str = ""
    max_url_bytes: int = Field(8192, ge=256)
    max_header_bytes: int = Field(16384, ge=1024)
    max_header_count: int = Field(100, ge=10)
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    max_client_connections: int = Field(10_000, ge=10)

    # How long a client may take: for the head of a request, for its body, between requests, to take an answer.
    header_seconds: float = Field(10.0, gt=0)
    body_seconds: float = Field(30.0, gt=0)
    keep_alive_seconds: float = Field(75.0, gt=0)
    write_stall_seconds: float = Field(60.0, gt=0)
    # An answer that has begun and stops for this long is given up.
    upstream_stall_seconds: float = Field(30.0, gt=0)

    connect_seconds: float = Field(1.0, gt=0)
    # Below the 75 s after which the services close an idle connection themselves.
    upstream_idle_seconds: float = Field(30.0, gt=0)
    upstream_max_active: int = Field(256, ge=1)
    upstream_max_waiting: int = Field(512, ge=0)
    upstream_wait_seconds: float = Field(2.0, gt=0)
    resolve_seconds: float = Field(5.0, gt=0)
    breaker_failures: int = Field(8, ge=1)
    breaker_open_seconds: float = Field(1.0, gt=0)
    breaker_max_open_seconds: float = Field(8.0, gt=0)
    # Replays may add this share to the requests, and this many a second when there is little traffic.
    retry_share: float = Field(0.2, ge=0, le=1)
    retry_per_second: float = Field(5.0, ge=0)

    # Requests a second and at once; per replica. A whole company may come from one address.
    user_rate: float = Field(200.0, gt=0)
    user_burst: int = Field(1000, ge=1)
    address_rate: float = Field(2000.0, gt=0)
    address_burst: int = Field(5000, ge=1)
    credentials_rate: float = Field(10.0, gt=0)
    credentials_burst: int = Field(100, ge=1)

    drain_notice_seconds: float = Field(0.5, ge=0)
    # Together with the notice below the 20 s that every process has to finish.
    drain_seconds: float = Field(18.0, gt=0)
    access_log: bool = True

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for part in filter(None, map(str.strip, value.split(","))):
            ipaddress.ip_network(part, strict=False)
        return value

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
        return frozenset(part.strip().encode() for part in self.cors_origins.split(",") if part.strip())
