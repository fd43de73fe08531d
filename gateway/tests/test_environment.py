"""Settings: each is read as what it is, and a mistake is told by the variable and never by its value."""

import dataclasses
from typing import Any

import pytest

from gateway import config
from gateway.environment import InvalidSettingsError, flag, items, number, text, urls, whole

REQUIRED = {
    "GATEWAY_IDENTITY_URLS": "http://one:1/, http://two:2",
    "GATEWAY_SUBSCRIPTION_URLS": "http://s:1",
    "GATEWAY_CATALOG_URLS": "http://c:1",
    "GATEWAY_WATCH_URLS": "http://w:1",
    "GATEWAY_BROKER_URL": "amqp://user:hidden@broker/",
    "GATEWAY_INTERNAL_TOKEN": "hidden" * 6,
}


def test_what_is_not_given_has_its_default() -> None:
    settings = config.load(REQUIRED)
    assert (settings.host, settings.port, settings.ops_port) == ("127.0.0.1", 8080, 9080)
    assert settings.identity_urls == ["http://one:1", "http://two:2"]
    assert settings.jwks_addresses() == [f"{url}/.well-known/jwks.json" for url in settings.identity_urls]
    assert settings.allowed_origins() == frozenset()


def test_what_is_given_is_read_as_what_it_is() -> None:
    settings = config.load(
        {
            **REQUIRED,
            "GATEWAY_PORT": "0",
            "GATEWAY_RETRY_SHARE": "0.5",
            "GATEWAY_DRAIN_NOTICE_SECONDS": "0",
            "GATEWAY_ACCESS_LOG": "False",
            "GATEWAY_CORS_ORIGINS": "https://a.example, https://b.example",
            "GATEWAY_JWKS_URLS": "https://keys.example/jwks",
            "GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "GATEWAY_UNKNOWN": "not looked at",
        }
    )
    assert (settings.port, settings.retry_share, settings.drain_notice_seconds) == (0, 0.5, 0.0)
    assert settings.access_log is False
    assert settings.allowed_origins() == {b"https://a.example", b"https://b.example"}
    assert settings.jwks_addresses() == ["https://keys.example/jwks"]


def test_all_mistakes_are_named_at_once_and_no_value_is_told() -> None:
    given = {
        **REQUIRED,
        "GATEWAY_INTERNAL_TOKEN": "too-short-and-secret",
        "GATEWAY_PORT": "secret-port",
        "GATEWAY_TRUSTED_PROXIES": "10.0.0.0/99",
        "GATEWAY_USER_RATE": "0",
    }
    del given["GATEWAY_WATCH_URLS"]
    with pytest.raises(InvalidSettingsError) as caught:
        config.load(given)
    message = str(caught.value)
    for name in ("WATCH_URLS", "INTERNAL_TOKEN", "PORT", "TRUSTED_PROXIES", "USER_RATE"):
        assert f"GATEWAY_{name} " in message
    assert "secret" not in message
    assert "10.0.0.0" not in message


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(config.load(REQUIRED))


@pytest.mark.parametrize(
    ("reader", "given"),
    [
        (whole(1, 10), "0"),
        (whole(1, 10), "11"),
        (whole(0), "-1"),
        (whole(0), "1.5"),
        (whole(0), ""),
        (whole(0), "\u0663"),
        (number(above=0), "0"),
        (number(), "-0.1"),
        (number(most=1), "1.1"),
        (number(), "nan"),
        (number(), "inf"),
        (number(), "1 s"),
        (flag, "maybe"),
        (text(least=2), "x"),
        (urls, ""),
        (urls, "host:80"),
        (urls, "http://a,ftp://b"),
    ],
)
def test_what_cannot_be_meant_is_refused(reader: Any, given: str) -> None:
    with pytest.raises(ValueError, match="must"):
        reader(given)


def test_lists_are_separated_by_commas() -> None:
    assert items(" a, b,,c ") == ["a", "b", "c"]


def test_every_setting_can_be_given() -> None:
    """A field without a reader would only be noticed by whoever sets it."""
    for field in dataclasses.fields(config.GatewaySettings):
        assert callable(field.type.__metadata__[0]), field.name  # type: ignore[union-attr]  # Annotated
