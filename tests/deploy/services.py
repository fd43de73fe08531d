"""The settings of each distribution, and which names of the environment they are read from."""

import dataclasses
from typing import Any

import pytest

import catalog.config
import gateway.config
import identity.config
import subscription.config
import watch.config
from gateway.environment import names

SETTINGS: dict[str, Any] = {
    "gateway": gateway.config.GatewaySettings,
    "identity": identity.config.Settings,
    "subscription": subscription.config.Settings,
    "catalog": catalog.config.Settings,
    "watch": watch.config.Settings,
}


def accepted_names(settings: Any) -> set[str]:
    """The environment variables that are read."""
    if dataclasses.is_dataclass(settings):
        return set(names(settings, gateway.config.PREFIX).values())
    prefix = settings.model_config["env_prefix"]
    return {str(field.validation_alias or prefix + name).upper() for name, field in settings.model_fields.items()}


def default_of(name: str) -> Any:
    """What the gateway takes for a setting that is not given."""
    return next(field.default for field in dataclasses.fields(gateway.config.GatewaySettings) if field.name == name)


def load(service: str, environment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings of a process that is started with exactly this environment; raises for one that is unusable."""
    for name in accepted_names(SETTINGS[service]):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return gateway.config.load() if service == "gateway" else SETTINGS[service]()
