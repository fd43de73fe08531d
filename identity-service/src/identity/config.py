"""The settings of identity-service."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from chassis.settings import ServiceSettings
from identity.domain.throttling import LoginRules, RateLimit

HOUR = 3600


def _peppers(value: Any) -> Any:
    """`1:secret,2:secret` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = (part.partition(":") for part in value.split(",") if part)
    return {identifier: secret for identifier, _, secret in pairs}


class Settings(ServiceSettings):
    """Environment variables with the prefix IDENTITY_, and the three that the whole suite shares.

    Durations are in the unit that the name ends in. A secret has no default.
    """

    model_config = SettingsConfigDict(env_prefix="IDENTITY_")

    port: int = Field(8101, ge=0, le=65535)
    ops_port: int = Field(9101, ge=0, le=65535)
    database_pool_size: int = Field(10, ge=1, le=200)

    password_pepper: SecretStr = Field(min_length=32)
    password_pepper_id: int = Field(1, ge=1)
    # Peppers that stored hashes may still be made with: "id:secret,…".
    password_peppers_old: Annotated[dict[int, SecretStr], NoDecode, BeforeValidator(_peppers)] = Field(
        default_factory=dict
    )
    key_encryption_key: SecretStr = Field(min_length=32)
    # Still able to decrypt, so that the key can be replaced without ending every session.
    key_encryption_key_old: SecretStr | None = Field(None, min_length=32)
    # 12: OWASP Password Storage Cheat Sheet asks for 10 at least; 4 is bcrypt's own minimum, for tests.
    bcrypt_cost: int = Field(12, ge=4, le=15)
    hash_threads: int | None = Field(None, ge=1, le=64, description="default: the number of cores")
    # 64 hashes take about 9 s on two cores; whoever would wait longer is told to come back.
    hash_queue: int = Field(64, ge=1)
    password_min_characters: int = Field(12, ge=8, le=64)

    access_token_seconds: int = Field(600, ge=30, le=900)
    session_idle_days: int = Field(14, ge=1)
    session_absolute_days: int = Field(30, ge=1)
    refresh_race_window_ms: int = Field(2000, ge=0, le=2000)
    refreshes_per_session_per_minute: int = Field(600, ge=1)
    reauthentication_seconds: int = Field(300, ge=1)
    reset_token_minutes: int = Field(30, ge=1, le=24 * 60)

    key_rotation_days: int = Field(30, ge=1)
    # Other processes fetch the keys every 5 minutes; a new key signs only after all of them have seen it.
    key_publish_seconds: int = Field(600, ge=0)
    key_reload_seconds: int = Field(60, ge=1)

    login_free_failures: int = Field(10, ge=1)
    login_guarded_free_failures: int = Field(1, ge=1)
    login_max_delay_seconds: int = Field(900, ge=1)
    login_account_failures_per_day: int = Field(100, ge=1)
    login_failures_per_address_per_10_minutes: int = Field(1000, ge=1)
    login_accounts_per_address_per_10_minutes: int = Field(300, ge=1)
    registrations_per_address_per_hour: int = Field(3000, ge=1)
    forgot_per_address_per_hour: int = Field(300, ge=1)
    forgot_per_email_per_hour: int = Field(5, ge=1)
    resets_per_address_per_hour: int = Field(600, ge=1)
    audit_retention_days: int = Field(365, ge=30)

    smtp_url: SecretStr = SecretStr("smtp://127.0.0.1:8026")
    mail_from: str = "Movie packages <no-reply@movie-package-suite.local>"
    public_web_url: str = Field("http://localhost:8080", validation_alias="PUBLIC_WEB_URL")
    admin_email: str | None = Field(None, validation_alias="ADMIN_EMAIL")
    admin_password: SecretStr | None = Field(None, validation_alias="ADMIN_PASSWORD")

    @property
    def login_rules(self) -> LoginRules:
        return LoginRules(self.login_free_failures, self.login_guarded_free_failures, self.login_max_delay_seconds)

    @property
    def registration_limit(self) -> RateLimit:
        return RateLimit("registration", self.registrations_per_address_per_hour, HOUR)

    @property
    def login_address_limit(self) -> RateLimit:
        return RateLimit("login-address", self.login_failures_per_address_per_10_minutes, 600)

    @property
    def login_accounts_limit(self) -> RateLimit:
        return RateLimit("login-accounts", self.login_accounts_per_address_per_10_minutes, 600)

    @property
    def login_account_limit(self) -> RateLimit:
        return RateLimit("login-account", self.login_account_failures_per_day, 24 * HOUR)

    @property
    def forgot_address_limit(self) -> RateLimit:
        return RateLimit("forgot-address", self.forgot_per_address_per_hour, HOUR)

    @property
    def forgot_email_limit(self) -> RateLimit:
        return RateLimit("forgot-email", self.forgot_per_email_per_hour, HOUR)

    @property
    def reset_limit(self) -> RateLimit:
        return RateLimit("reset", self.resets_per_address_per_hour, HOUR)

    @property
    def access_lifetime(self) -> timedelta:
        return timedelta(seconds=self.access_token_seconds)
