"""Settings of subscription-service, from variables that begin with SUBSCRIPTION_."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings, UrlList


class Settings(ServiceSettings):
    """What both processes read. `move_budget_seconds` is how long an edit waits for its subscribers to be moved."""

    model_config = SettingsConfigDict(
        env_prefix="SUBSCRIPTION_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    port: int = Field(default=8102, ge=0, le=65535)
    ops_port: int = Field(default=9102, ge=0, le=65535)
    jwks_urls: UrlList
    identity_urls: UrlList
    catalog_urls: UrlList
    database_pool_size: int = Field(default=10, ge=1, le=200)
    move_budget_seconds: float = Field(default=5.0, gt=0, le=60)
    expiry_interval_seconds: float = Field(default=30.0, gt=0)
    sweep_interval_seconds: float = Field(default=600.0, gt=0)
