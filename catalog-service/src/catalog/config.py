"""Settings of this service: environment variables with the prefix CATALOG_, and three that the suite shares."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from catalog.domain.permission import GenreMatch
from chassis.settings import ServiceSettings, UrlList


def _with_version(url: str) -> str:
    """The base of version 3, however the address was given."""
    bare = url.strip().rstrip("/")
    if not bare.startswith(("http://", "https://")):
        raise ValueError("must be an http or https address")
    return bare if bare.endswith("/3") else f"{bare}/3"


class Settings(ServiceSettings):
    """Seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="CATALOG_", env_ignore_empty=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    port: int = Field(default=8103, ge=0, le=65535)
    ops_port: int = Field(default=9103, ge=0, le=65535)
    jwks_urls: UrlList
    subscription_urls: UrlList

    tmdb_token: SecretStr = Field(validation_alias="TMDB_TOKEN", min_length=1)
    tmdb_base_url: Annotated[str, AfterValidator(_with_version)] = Field(
        default="https://api.themoviedb.org/3", validation_alias="TMDB_BASE_URL"
    )
    # TMDB allows "somewhere in the 40 requests per second range" (developer.themoviedb.org/docs/rate-limiting).
    tmdb_requests_per_second: float = Field(default=20, gt=0, le=5000)
    tmdb_timeout_seconds: float = Field(default=10, gt=0, le=60)

    genre_match: GenreMatch = Field(default=GenreMatch.ANY, validation_alias="GENRE_MATCH")
    genres_interval_seconds: float = Field(default=7200, ge=1)
    movies_interval_seconds: float = Field(default=86_400, ge=1)
    walk_interval_seconds: float = Field(default=604_800, ge=1)
    movies_per_genre: int = Field(default=10_000, ge=1, le=1_000_000)
    page_cache_bytes: int = Field(default=32 * 1024 * 1024, ge=0)
