#!/usr/bin/env python3
"""Write the secrets of overlays/local, one file for each Secret, from the repository's .env.

What .env lacks is generated into it first, as by `make up`; so compose and a cluster on one desk share their secrets.
The files are for their owner alone and git ignores them.

Usage: write_secrets.py [FOLDER]    (default: overlays/local/secrets beside this file)
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
sys.path.insert(0, str(_ROOT / "deploy" / "local"))

from localstack import envfile  # noqa: E402 - found by the path above
from localstack.state import write_private  # noqa: E402 - the same


def secrets_of(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The keys of each Secret that becomes environment variables."""
    broker = f"amqp://suite:{quote(values['BROKER_PASSWORD'], safe='')}@rabbitmq:5672/suite"
    found = {"gateway": {"GATEWAY_BROKER_URL": broker, "GATEWAY_INTERNAL_TOKEN": values["INTERNAL_TOKEN"]}}
    for service, database in {
        "identity": "mysql://identity:{}@mysql:3306/identity",
        "subscription": "mysql://subscription:{}@mysql:3306/subscription",
        "catalog": "mongodb://catalog:{}@mongo:27017/catalog?replicaSet=rs0",
        "watch": "mongodb://watch:{}@mongo:27017/watch?replicaSet=rs0",
    }.items():
        prefix = service.upper()
        found[service] = {
            f"{prefix}_DATABASE_URL": database.format(quote(values[f"{prefix}_DATABASE_PASSWORD"], safe="")),
            f"{prefix}_BROKER_URL": broker,
            f"{prefix}_INTERNAL_TOKEN": values["INTERNAL_TOKEN"],
        }
    found["identity"] |= {
        name: values[name]
        for name in ("ADMIN_EMAIL", "ADMIN_PASSWORD", "IDENTITY_PASSWORD_PEPPER", "IDENTITY_KEY_ENCRYPTION_KEY")
    }
    found["identity"]["IDENTITY_SMTP_URL"] = values.get("IDENTITY_SMTP_URL") or "smtp://mailpit:1025"
    found["catalog"]["TMDB_TOKEN"] = values.get("TMDB_TOKEN") or "simulator"
    passwords = ("CATALOG_DATABASE_PASSWORD", "WATCH_DATABASE_PASSWORD")
    found["mongo"] = {name: values[name] for name in ("MONGO_REPLICA_KEY", *passwords)}
    found["mongo"] |= {
        "MONGO_INITDB_ROOT_USERNAME": "root",
        "MONGO_INITDB_ROOT_PASSWORD": values["MONGO_ROOT_PASSWORD"],
    }
    names = ("MYSQL_ROOT_PASSWORD", "IDENTITY_DATABASE_PASSWORD", "SUBSCRIPTION_DATABASE_PASSWORD")
    found["mysql"] = {name: values[name] for name in names}
    return found


def broker_definitions(values: Mapping[str, str]) -> dict[str, object]:
    """Accounts and virtual hosts of the broker, as docker-compose.yml has them."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [
            {"name": "admin", "password": values["BROKER_ADMIN_PASSWORD"], "tags": ["administrator"]},
            {"name": "suite", "password": values["BROKER_PASSWORD"], "tags": []},
        ],
        "vhosts": [{"name": "/"}, {"name": "suite"}],
        "permissions": [
            {"user": "admin", "vhost": "/", **everything},
            {"user": "admin", "vhost": "suite", **everything},
            {"user": "suite", "vhost": "suite", **everything},
        ],
    }


def main(arguments: list[str]) -> int:
    """Write the files and say where."""
    folder = Path(arguments[0]) if arguments else _HERE / "overlays" / "local" / "secrets"
    given = {name: value for name, value in os.environ.items() if value}
    values = envfile.ensure(_ROOT / ".env", given) | given
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, content in secrets_of(values).items():
        write_private(folder / f"{name}.env", "".join(f"{key}={value}\n" for key, value in content.items()))
    write_private(folder / "rabbitmq-definitions.json", json.dumps(broker_definitions(values), indent=1))
    print(f"secrets written to {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
