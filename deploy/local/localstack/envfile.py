"""The `.env` file: read, and completed with generated secrets on first use."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from localstack.state import write_private

_HEADER = "# Made on first use; not in the repository. Change what you like, then stop and start the stack.\n"


def _password() -> str:
    return secrets.token_urlsafe(24)


def _key() -> str:
    """32 random bytes, base64url: the size of an AES-256 key and of a 256-bit pepper."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


# What the suite cannot start without. docker-compose.yml asks for the same names.
REQUIRED: Mapping[str, Callable[[], str]] = {
    "ADMIN_EMAIL": lambda: "admin@example.com",
    "ADMIN_PASSWORD": _password,
    "INTERNAL_TOKEN": _password,
    "IDENTITY_PASSWORD_PEPPER": _key,
    "IDENTITY_KEY_ENCRYPTION_KEY": _key,
    "MYSQL_ROOT_PASSWORD": _password,
    "IDENTITY_DATABASE_PASSWORD": _password,
    "SUBSCRIPTION_DATABASE_PASSWORD": _password,
    "MONGO_ROOT_PASSWORD": _password,
    "MONGO_REPLICA_KEY": _password,
    "CATALOG_DATABASE_PASSWORD": _password,
    "WATCH_DATABASE_PASSWORD": _password,
    "BROKER_PASSWORD": _password,
    "BROKER_ADMIN_PASSWORD": _password,
}


def parse(text: str) -> dict[str, str]:
    """Values of `NAME=value` lines, without blank lines and comments; quotes around a value are taken off."""
    found = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            name = name.removeprefix("export ").strip()
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            found[name] = value
    return found


def ensure(path: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Read the file, add what is required and missing, and return all values.

    A value that `given` (the caller's environment) has is used and not written down.
    """
    values = parse(path.read_text()) if path.exists() else {}
    new = {name: make() for name, make in REQUIRED.items() if not values.get(name) and not given.get(name)}
    if new:
        _append(path, new)
    return values | new


def _append(path: Path, new: Mapping[str, str]) -> None:
    old = path.read_text() if path.exists() else _HEADER
    if not old.endswith("\n"):
        old += "\n"
    draft = path.with_name(f"{path.name}.new")
    write_private(draft, old + "".join(f"{name}={value}\n" for name, value in new.items()))
    draft.replace(path)
