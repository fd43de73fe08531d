"""Our own processes: which there are, and the settings of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from localstack.plan import SERVICES_WITH_MYSQL, Plan
from localstack.process import Process

REAL_TMDB_URL = "https://api.themoviedb.org/3"
_LOOPBACK = "127.0.0.1"
# SIGTERM to exit may take the 25 s of a drain.
_GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """A service: `peers` are the services it calls, `names` the settings without a prefix that it reads."""

    name: str
    peers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What the names of its own settings begin with."""
        return f"{self.name.upper()}_"


SERVICES = (
    Service("identity", names=("ADMIN_EMAIL", "ADMIN_PASSWORD", "PUBLIC_WEB_URL")),
    Service("subscription", peers=("identity", "catalog")),
    Service("catalog", peers=("subscription",), names=("TMDB_TOKEN", "TMDB_BASE_URL", "GENRE_MATCH")),
    Service("watch", peers=("catalog",)),
)
GATEWAY = Service("gateway", peers=("identity", "subscription", "catalog", "watch"))
# Understood by every process: where its traces go.
_EVERYWHERE = "OTEL_"
# What only servers and the runner need to know, although it begins like a service's setting.
_NOT_PASSED_ON = ("_DATABASE_PASSWORD",)


def urls(plan: Plan, service: str) -> str:
    """Base URLs of all replicas of a service, as its clients are told."""
    return ",".join(plan.local_url(service, replica) for replica in range(plan.replicas))


def settings(plan: Plan, service: Service) -> dict[str, str]:
    """Environment of a service besides its ports: what the caller set, then what this stack decides."""
    prefix = service.prefix
    given = {
        name: value
        for name, value in plan.settings.items()
        if value
        and (name in service.names or name.startswith((prefix, _EVERYWHERE)))
        and not name.endswith(_NOT_PASSED_ON)
    }
    decided = {
        f"{prefix}HOST": _LOOPBACK,
        f"{prefix}LOG_LEVEL": plan.settings.get(f"{prefix}LOG_LEVEL") or plan.settings.get("LOG_LEVEL") or "INFO",
        f"{prefix}BROKER_URL": plan.broker_url,
        f"{prefix}INTERNAL_TOKEN": plan.settings["INTERNAL_TOKEN"],
    }
    if service is not GATEWAY:
        decided[f"{prefix}DATABASE_URL"] = plan.database_url(service.name)
        # Whose X-Forwarded-For a service believes: the gateway's.
        decided[f"{prefix}TRUSTED_PROXIES"] = _LOOPBACK
    if service.name != "identity":
        keys = (f"{url}/.well-known/jwks.json" for url in urls(plan, "identity").split(","))
        decided[f"{prefix}JWKS_URLS"] = ",".join(keys)
    decided |= {f"{prefix}{peer.upper()}_URLS": urls(plan, peer) for peer in service.peers}
    if service.name == "identity":
        given.setdefault("IDENTITY_SMTP_URL", plan.local_url("mail-smtp", scheme="smtp"))
        given.setdefault("IDENTITY_MAIL_FROM", "no-reply@example.com")
        given.setdefault("PUBLIC_WEB_URL", public_url(plan))
    if service.name == "catalog":
        given.setdefault("TMDB_BASE_URL", REAL_TMDB_URL)
        given.setdefault("GENRE_MATCH", "any")
        if plan.simulates_tmdb:
            # The simulator takes any token; the service insists on one.
            decided |= {"TMDB_BASE_URL": plan.local_url("tmdb-simulator") + "/3", "TMDB_TOKEN": "simulator"}
    return given | decided


def public_url(plan: Plan) -> str:
    """Where clients reach the suite."""
    return f"http://localhost:{plan.ports.of('gateway')}"


def helpers(plan: Plan) -> list[Process]:
    """Stand-ins for what lies outside the suite: the mail catcher and, without a token, TMDB."""
    page = plan.ports.of("mail-page")
    mail = {
        "MAIL_CATCHER_HOST": _LOOPBACK,
        "MAIL_CATCHER_SMTP_PORT": str(plan.ports.of("mail-smtp")),
        "MAIL_CATCHER_HTTP_PORT": str(page),
    }
    rows = [_python(plan, "mail-catcher", ["mail_catcher"], page, mail)]
    if plan.simulates_tmdb:
        port = plan.ports.of("tmdb-simulator")
        simulator = {
            "TMDB_SIMULATOR_HOST": _LOOPBACK,
            "TMDB_SIMULATOR_PORT": str(port),
            "TMDB_SIMULATOR_FILMS": plan.settings.get("TMDB_SIMULATOR_FILMS", ""),
        }
        rows.append(_python(plan, "tmdb-simulator", ["tmdb_simulator"], port, simulator))
    return [replace(row, group="servers") for row in rows]


def table(plan: Plan, servers: Iterable[str]) -> list[Process]:
    """Migrations, then api and worker of every service, then the gateway."""
    up = set(servers)
    rows = [row for service in SERVICES for row in _service(plan, service, up)]
    # Requests are answered by the apis; the workers may get ready beside the gateway.
    answering = tuple(row.name for row in rows if "-api" in row.name)
    for replica in range(plan.replicas):
        ports = _ports(plan, "gateway", "gateway-ops", replica)
        own = settings(plan, GATEWAY) | _port_settings(GATEWAY, ports)
        row = _python(plan, _name("gateway", replica), ["gateway"], ports[1], own)
        rows.append(
            replace(
                row, group="gateway", port=ports[0], needs=(*answering, *sorted({"rabbitmq", "broker-provision"} & up))
            )
        )
    return rows


def _service(plan: Plan, service: Service, servers: set[str]) -> list[Process]:
    name = service.name
    environment = settings(plan, service)
    ports = _ports(plan, name, f"{name}-worker", 0)
    # The migration answers no request, but its settings are those of the service, ports and all.
    migration = _python(plan, f"{name}-migrate", [name, "migrate"], 0, environment | _port_settings(service, ports))
    database = (
        {"mariadb", "mysql-provision"} if name in SERVICES_WITH_MYSQL else {"mongo", "mongo-init", "mongo-provision"}
    )
    rows = [replace(migration, group="migrations", probe="", port=None, needs=tuple(sorted(database & servers)))]
    # A worker without a broker has nothing to do, and would only log that it cannot connect yet.
    broker = sorted({"rabbitmq", "broker-provision"} & servers)
    for replica in range(plan.replicas):
        ports = _ports(plan, name, f"{name}-worker", replica)
        own = environment | _port_settings(service, ports)
        api = _python(plan, _name(f"{name}-api", replica), [name, "api"], ports[0], own)
        worker = _python(plan, _name(f"{name}-worker", replica), [name, "worker"], ports[1], own)
        rows.append(replace(api, needs=(migration.name,)))
        rows.append(replace(worker, needs=(migration.name, *broker)))
    return rows


def _name(name: str, replica: int) -> str:
    return name if replica == 0 else f"{name}-{replica + 1}"


def _ports(plan: Plan, port: str, ops: str, replica: int) -> tuple[int, int]:
    return plan.ports.of(port, replica), plan.ports.of(ops, replica)


def _port_settings(service: Service, ports: tuple[int, int]) -> dict[str, str]:
    return {f"{service.prefix}PORT": str(ports[0]), f"{service.prefix}OPS_PORT": str(ports[1])}


def _python(plan: Plan, name: str, arguments: list[str], port: int, environment: Mapping[str, str]) -> Process:
    return Process(
        name=name,
        argv=[plan.python, "-m", *arguments],
        group="services",
        cwd=str(plan.root),
        env={**plan.base_environment, "PYTHONUNBUFFERED": "1", **environment},
        probe=f"http://{_LOOPBACK}:{port}/readyz",
        port=port,
        grace_seconds=_GRACE_SECONDS,
    )
