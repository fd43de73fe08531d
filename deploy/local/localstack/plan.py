"""What one stack is made of: where it lives, its ports, settings and servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from localstack.ports import Ports
from localstack.state import State

SERVICES_WITH_MYSQL = ("identity", "subscription")
SERVICES_WITH_MONGO = ("catalog", "watch")


@dataclass(frozen=True, slots=True)
class External:
    """Servers that somebody else runs, by URL; an empty one is ours to start."""

    mysql: str = ""
    mongo: str = ""
    amqp: str = ""
    amqp_api: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> External:
        """Read the `STACK_*_URL` variables."""
        return cls(
            mysql=environment.get("STACK_MYSQL_URL", ""),
            mongo=environment.get("STACK_MONGO_URL", ""),
            amqp=environment.get("STACK_AMQP_URL", ""),
            amqp_api=environment.get("STACK_AMQP_API_URL", ""),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides the process table.

    `settings` are `.env` and the caller's environment together; `base_environment` is what every child gets.
    """

    root: Path
    state: State
    profile: str
    throw_away: bool
    ports: Ports
    settings: Mapping[str, str] = field(repr=False)
    base_environment: Mapping[str, str] = field(repr=False)
    external: External = field(repr=False)
    replicas: int = 1
    servers_only: bool = False

    @property
    def tools(self) -> Path:
        """Programs that the runner installed for itself, shared by all profiles."""
        return self.root / ".local" / "tools"

    @property
    def python(self) -> str:
        """The interpreter that has the suite installed."""
        return str(self.root / ".venv" / "bin" / "python")

    def local_url(self, name: str, replica: int = 0, scheme: str = "http") -> str:
        """The URL of a port of the table."""
        return f"{scheme}://127.0.0.1:{self.ports.of(name, replica)}"

    @property
    def simulates_tmdb(self) -> bool:
        """Without a token there is no TMDB to ask; tests never ask the real one."""
        return self.throw_away or not self.settings.get("TMDB_TOKEN")

    def database_name(self, service: str) -> str:
        """On servers of somebody else the databases of a profile are told apart by name."""
        foreign = self.external.mysql if service in SERVICES_WITH_MYSQL else self.external.mongo
        return f"suite_{self.profile}_{service}" if foreign else service

    @property
    def vhost(self) -> str:
        """The virtual host of the suite's exchanges and queues."""
        return f"suite_{self.profile}" if self.external.amqp else "suite"

    def database_url(self, service: str) -> str:
        """Where a service finds its own database."""
        name = self.database_name(service)
        if service in SERVICES_WITH_MONGO:
            return f"{self.mongo_url.rstrip('/')}/{name}"
        password = quote(self.settings[f"{service.upper()}_DATABASE_PASSWORD"], safe="")
        host = self.mysql_url.rpartition("@")[2].rstrip("/")
        return f"mysql://{name}:{password}@{host}/{name}"

    @property
    def mysql_url(self) -> str:
        """The MySQL server as an account that may create databases and users."""
        password = quote(self.settings["MYSQL_ROOT_PASSWORD"], safe="")
        return self.external.mysql or f"mysql://root:{password}@127.0.0.1:{self.ports.of('mariadb')}/"

    @property
    def mongo_url(self) -> str:
        """The MongoDB server, without a database."""
        return self.external.mongo or self.local_url("mongo", scheme="mongodb")

    @property
    def amqp_url(self) -> str:
        """The broker as its administrator, default virtual host."""
        password = quote(self.settings["BROKER_ADMIN_PASSWORD"], safe="")
        return self.external.amqp or f"amqp://admin:{password}@127.0.0.1:{self.ports.of('rabbitmq')}/"

    @property
    def amqp_api_url(self) -> str:
        """The broker's management API as its administrator."""
        password = quote(self.settings["BROKER_ADMIN_PASSWORD"], safe="")
        port = self.ports.of("rabbitmq-management")
        return self.external.amqp_api or f"http://admin:{password}@127.0.0.1:{port}"

    @property
    def broker_url(self) -> str:
        """The broker as the services see it: an account without rights outside its virtual host."""
        password = quote(self.settings["BROKER_PASSWORD"], safe="")
        host = self.amqp_url.rpartition("@")[2].partition("/")[0]
        return f"amqp://{self.broker_user}:{password}@{host}/{self.vhost}"

    @property
    def broker_user(self) -> str:
        """The account of the services at the broker."""
        return self.vhost
