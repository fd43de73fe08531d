"""Our own processes: which there are, and the settings of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from localstack.plan import Plan
from localstack.process import Process

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
GATEWAY = Service("gateway", peers=("identity", "subscription", "catalog", "watch"), names=("PUBLIC_WEB_URL",))
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
        f"{prefix}BROKER_URL": plan.broker_url,
        f"{prefix}INTERNAL_TOKEN": plan.settings["INTERNAL_TOKEN"],
    }
    if level := plan.settings.get("LOG_LEVEL"):
        given.setdefault(f"{prefix}LOG_LEVEL", level)
    if service is not GATEWAY:
        decided[f"{prefix}DATABASE_URL"] = plan.database_url(service.name)
    if service.name != "identity":
        keys = (f"{url}/.well-known/jwks.json" for url in urls(plan, "identity").split(","))
        decided[f"{prefix}JWKS_URLS"] = ",".join(keys)
    decided |= {f"{prefix}{peer.upper()}_URLS": urls(plan, peer) for peer in service.peers}
    if service.name == "identity":
        given.setdefault("IDENTITY_SMTP_URL", plan.local_url("mail-smtp", scheme="smtp"))
        given.setdefault("IDENTITY_MAIL_FROM", "no-reply@example.com")
        given.setdefault("PUBLIC_WEB_URL", public_url(plan))
    if service.name == "catalog" and plan.simulates_tmdb:
        # The simulator takes any token; the service insists on one.
        decided |= {"TMDB_BASE_URL": plan.local_url("tmdb-simulator") + "/3", "TMDB_TOKEN": "simulator"}
    return given | decided


def public_url(plan: Plan) -> str:
    """Where clients reach the suite."""
    return f"http://localhost:{plan.ports.of('gateway')}"


def helpers(plan: Plan) -> list[Process]:
    """Stand-ins for what lies outside the suite: the mail catcher and, without a token, TMDB."""
    mail = {
        "MAIL_CATCHER_HOST": _LOOPBACK,
        "MAIL_CATCHER_SMTP_PORT": str(plan.ports.of("mail-smtp")),
        "MAIL_CATCHER_HTTP_PORT": str(plan.ports.of("mail-page")),
    }
    rows = [_program(plan, "mail-catcher", ["mail_catcher"], "servers", "mail-page", mail)]
    if plan.simulates_tmdb:
        simulator = {
            "TMDB_SIMULATOR_HOST": _LOOPBACK,
            "TMDB_SIMULATOR_PORT": str(plan.ports.of("tmdb-simulator")),
            "TMDB_SIMULATOR_FILMS": plan.settings.get("TMDB_SIMULATOR_FILMS", ""),
        }
        rows.append(_program(plan, "tmdb-simulator", ["tmdb_simulator"], "servers", "tmdb-simulator", simulator))
    return rows


def table(plan: Plan, servers: Iterable[str]) -> list[Process]:
    """Migrations, then api and worker of every service, then the gateway."""
    up = set(servers)
    rows: list[Process] = []
    for service in SERVICES:
        rows += _service(plan, service, up)
    gateway_needs = [row.name for row in rows if row.group == "services"]
    for replica in range(plan.replicas):
        rows.append(
            _program(
                plan,
                _name("gateway", replica),
                ["gateway"],
                "gateway",
                "gateway",
                settings(plan, GATEWAY),
                ops="gateway-ops",
                replica=replica,
                needs=gateway_needs,
            )
        )
    return rows


def _service(plan: Plan, service: Service, servers: set[str]) -> list[Process]:
    environment = settings(plan, service)
    migrate = f"{service.name}-migrate"
    database = {"mysql-provision", "mongo-provision", "mongo-init"} & servers
    database |= {"mariadb" if service.name in ("identity", "subscription") else "mongo"} & servers
    broker = {"rabbitmq", "broker-provision"} & servers
    rows = [
        Process(
            name=migrate,
            argv=[plan.python, "-m", service.name, "migrate"],
            group="migrations",
            cwd=str(plan.root),
            # The migration answers no request, but its settings are those of the service: the ports must be there.
            env=_environment(plan, _ports(plan, service.prefix, service.name, service.name) | environment),
            needs=tuple(sorted(database)),
        )
    ]
    for replica in range(plan.replicas):
        api = _name(f"{service.name}-api", replica)
        argv = [service.name, "api"]
        rows.append(
            _program(
                plan, api, argv, "services", service.name, environment, ops=service.name, replica=replica, needs=(migrate,)
            )
        )
        worker = _name(f"{service.name}-worker", replica)
        ops = f"{service.name}-worker"
        # A worker without a broker has nothing to do, and would only log that it cannot connect yet.
        needs = (migrate, *sorted(broker))
        argv = [service.name, "worker"]
        rows.append(
            _program(
                plan, worker, argv, "services", service.name, environment, ops=ops, replica=replica, needs=needs, probe=ops
            )
        )
    return rows


def _name(name: str, replica: int) -> str:
    return name if replica == 0 else f"{name}-{replica + 1}"


def _ports(plan: Plan, prefix: str, port: str, ops: str, replica: int = 0) -> dict[str, str]:
    return {
        f"{prefix}PORT": str(plan.ports.of(port, replica)),
        f"{prefix}OPS_PORT": str(plan.ports.of(ops, replica)),
    }


def _environment(plan: Plan, own: Mapping[str, str]) -> dict[str, str]:
    return {**plan.base_environment, "PYTHONUNBUFFERED": "1", **{name: own[name] for name in sorted(own)}}


def _program(
    plan: Plan,
    name: str,
    argv: list[str],
    group: str,
    port: str,
    environment: Mapping[str, str],
    *,
    ops: str = "",
    replica: int = 0,
    needs: Iterable[str] = (),
    probe: str = "",
) -> Process:
    ports = _ports(plan, f"{argv[0].upper()}_", port, ops, replica) if ops else {}
    answers = probe or ops or port
    return Process(
        name=name,
        argv=[plan.python, "-m", *argv],
        group=group,
        cwd=str(plan.root),
        env=_environment(plan, {**environment, **ports}),
        needs=tuple(needs),
        probe=plan.local_url(answers, replica) + "/readyz",
        port=plan.ports.of(answers if probe else port, replica),
        grace_seconds=_GRACE_SECONDS,
    )
