"""Settings come from environment variables only; each service adds its own to these."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _split(value: Any) -> Any:
    return [part.strip().rstrip("/") for part in value.split(",") if part.strip()] if isinstance(value, str) else value


UrlList = Annotated[list[str], NoDecode, BeforeValidator(_split), Field(min_length=1)]
"""Base URLs of a peer's replicas, comma-separated in the environment."""


class ProcessSettings(BaseSettings):
    """What every process has: where it listens and how much it says. A secret has no default anywhere."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    ops_port: int = Field(ge=0, le=65535)
    log_level: str = "INFO"
    # Whose X-Forwarded-For is believed: addresses or networks, comma-separated. The gateway's, nobody else's.
    trusted_proxies: str = "127.0.0.1,::1"


class ServiceSettings(ProcessSettings):
    """What every service behind the gateway has besides."""

    database_url: SecretStr
    broker_url: SecretStr
    internal_token: SecretStr = Field(min_length=32)
    token_issuer: str = "https://movie-package-suite.local"
    token_audience: str = "edge"
