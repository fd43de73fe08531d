"""Databases and virtual hosts of a test run's own, on the real servers that the environment names."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx
from yarl import URL


def required_environment(name: str) -> str:
    """The value of a variable; a test that needs a server fails without it rather than pass untested."""
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"{name} is not set: run the tests through 'make test'")
    return value


def _random_name(prefix: str) -> str:
    return f"test_{prefix}_{secrets.token_hex(4)}"


@contextmanager
def mysql_database(prefix: str) -> Iterator[str]:
    """The URL of an empty MySQL database, dropped at the end."""
    from sqlalchemy import NullPool, create_engine, text  # noqa: PLC0415 - an extra that not every distribution installs

    from chassis.sql import driver_url  # noqa: PLC0415

    server = required_environment("STACK_MYSQL_URL")
    name = _random_name(prefix)
    # No pool: between the beginning and the end of a test run other tests kill the server.
    engine = create_engine(driver_url(server, "pymysql"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci"))
    try:
        yield str(URL(server).with_path(f"/{name}"))
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}"))
        engine.dispose()


@contextmanager
def mongo_database(prefix: str) -> Iterator[str]:
    """The URL of an empty MongoDB database, dropped at the end."""
    from pymongo import MongoClient  # noqa: PLC0415 - an extra that not every distribution installs

    server = required_environment("STACK_MONGO_URL")
    name = _random_name(prefix)
    try:
        yield str(URL(server).with_path(f"/{name}"))
    finally:
        with MongoClient[dict[str, object]](server) as client:
            client.drop_database(name)


@contextmanager
def broker_vhost(prefix: str) -> Iterator[str]:
    """The URL of an empty RabbitMQ virtual host, deleted at the end."""
    api = URL(required_environment("STACK_AMQP_API_URL"))
    server = URL(required_environment("STACK_AMQP_URL"))
    name = _random_name(prefix)
    with httpx.Client(
        base_url=str(api.with_user(None)), auth=(api.user or "", api.password or ""), trust_env=False, timeout=30
    ) as client:
        client.put(f"/api/vhosts/{name}").raise_for_status()
        client.put(
            f"/api/permissions/{name}/{quote(server.user or '', safe='')}",
            json={"configure": ".*", "write": ".*", "read": ".*"},
        ).raise_for_status()
        try:
            yield str(server.with_path(f"/{name}"))
        finally:
            client.delete(f"/api/vhosts/{name}").raise_for_status()
