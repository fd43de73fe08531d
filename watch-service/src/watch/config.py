"""Settings of watch-service, from environment variables that begin with WATCH_."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings, UrlList


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(
        env_prefix="WATCH_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    port: int = Field(default=8104, ge=0, le=65535)
    ops_port: int = Field(default=9104, ge=0, le=65535)
    jwks_urls: UrlList
    catalog_urls: UrlList
    # For the whole validation of a movie, repeated tries included.
    catalog_timeout_seconds: float = Field(default=2.0, gt=0, le=10)
