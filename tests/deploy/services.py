"""The settings of each distribution, and which names of the environment they are read from."""

from typing import Any

import pytest
from pydantic_settings import BaseSettings

import catalog.config
import gateway.config
import identity.config
import subscription.config
import watch.config

SETTINGS: dict[str, type[BaseSettings]] = {
    "gateway": gateway.config.GatewaySettings,
    "identity": identity.config.Settings,
    "subscription": subscription.config.Settings,
    "catalog": catalog.config.Settings,
    "watch": watch.config.Settings,
}


def accepted_names(settings: type[BaseSettings]) -> set[str]:
    """The environment variables that are read."""
    prefix = settings.model_config["env_prefix"]
    return {str(field.validation_alias or prefix + name).upper() for name, field in settings.model_fields.items()}


def load(service: str, environment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings of a process that is started with exactly this environment; raises for one that is unusable."""
    for name in accepted_names(SETTINGS[service]):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return SETTINGS[service]()
