"""Settings, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(ValueError):
    """A setting has a value that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """Where the two servers listen, and how much is kept: the oldest mails go first."""

    host: str = "127.0.0.1"
    smtp_port: int = 8026
    http_port: int = 8025
    max_mails: int = 1000
    max_bytes: int = 64 * 1024 * 1024

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the MAIL_CATCHER_* variables; an empty one counts as unset.

        Raises SettingsError for a number that is none or out of bounds.
        """
        return cls(
            host=environment.get("MAIL_CATCHER_HOST") or cls.host,
            smtp_port=_number(environment, "MAIL_CATCHER_SMTP_PORT", cls.smtp_port, 65535),
            http_port=_number(environment, "MAIL_CATCHER_HTTP_PORT", cls.http_port, 65535),
            max_mails=_number(environment, "MAIL_CATCHER_MAX_MAILS", cls.max_mails, 1_000_000),
            max_bytes=_number(environment, "MAIL_CATCHER_MAX_BYTES", cls.max_bytes, 2**40),
        )


def _number(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and int(text) <= most):
        raise SettingsError(f"{name} is not a number from 0 to {most}: {text!r}")
    return int(text)
