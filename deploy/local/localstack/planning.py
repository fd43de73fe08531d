"""From the caller's environment and `.env` to a plan, and from a plan to its process table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from localstack import envfile, process, servers, services
from localstack.errors import StackError
from localstack.plan import SERVICES_WITH_MONGO, SERVICES_WITH_MYSQL, External, Plan
from localstack.ports import MOST_REPLICAS, Ports
from localstack.process import Process
from localstack.state import State

ROOT = Path(__file__).resolve().parents[3]
_PROVISION = Path(__file__).resolve().parents[1] / "provision.py"
# What a child may inherit from the caller's shell: enough to run, nothing that changes what it does.
_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_INHERITED_ENDINGS = ("_proxy", "_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


def environment() -> dict[str, str]:
    """The caller's environment; a variable that is set to nothing counts as not set."""
    return {name: value for name, value in os.environ.items() if value}


def lasting_state(profile: str = "dev") -> State:
    """The state folder of a stack that stays between runs; `STACK_STATE` names another."""
    own = os.environ.get("STACK_STATE")
    return State(Path(own) if own else ROOT / ".local" / profile)


def make(
    state: State, profile: str, *, throw_away: bool, offset: int | None = None, servers_only: bool = False
) -> Plan:
    """Read settings and decide everything about a stack; writes missing secrets.

    Raises:
        StackError: a setting cannot be used.
    """
    given = environment()
    external = External.of(given)
    if external.amqp and not external.amqp_api:
        raise StackError("STACK_AMQP_URL is set: set STACK_AMQP_API_URL too, the broker's management API")
    state.create()
    # A throw-away stack has secrets of its own: a test must not depend on what somebody wrote into .env.
    file = state.path / ".env" if throw_away else ROOT / ".env"
    settings = envfile.ensure(file, given) | given
    if throw_away:
        # Nor on the ports that a person has chosen for the lasting stack, which may be running there.
        settings = {name: value for name, value in settings.items() if not name.startswith("STACK_PORT_")}
    if films := settings.get("TMDB_SIMULATOR_FILMS"):
        settings["TMDB_SIMULATOR_FILMS"] = _film_file(films, in_environment="TMDB_SIMULATOR_FILMS" in given)
    return Plan(
        root=ROOT,
        state=state,
        profile=profile,
        throw_away=throw_away,
        ports=Ports(_number(settings, "STACK_PORT_OFFSET", offset or 0), settings),
        settings=settings,
        base_environment=_base_environment(given),
        external=external,
        replicas=_replicas(settings),
        servers_only=servers_only,
    )


def _base_environment(given: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in given.items() if name in _INHERITED or name.endswith(_INHERITED_ENDINGS)}
    return kept | {"PATH": servers.search_path()}


def _film_file(value: str, *, in_environment: bool) -> str:
    # Typed on the command line it means the caller's folder; in .env, the folder of that file.
    path = (Path.cwd() if in_environment else ROOT) / value
    if not path.is_file():
        raise StackError(f"TMDB_SIMULATOR_FILMS: there is no file {path}")
    return str(path.resolve())


def _number(settings: Mapping[str, str], name: str, default: int) -> int:
    value = settings.get(name) or str(default)
    try:
        return int(value)
    except ValueError:
        raise StackError(f"{name} is not a whole number: {value!r}") from None


def _replicas(settings: Mapping[str, str]) -> int:
    replicas = _number(settings, "REPLICAS", 1)
    if not 1 <= replicas <= MOST_REPLICAS:
        raise StackError(f"REPLICAS must be from 1 to {MOST_REPLICAS}")
    return replicas


def process_table(plan: Plan) -> list[Process]:
    """Every process of the stack; writes the servers' configuration files."""
    rows = servers.table(plan) + ([] if plan.servers_only else services.helpers(plan) + _provision(plan))
    if not plan.servers_only:
        rows += services.table(plan, (row.name for row in rows))
    return process.check(rows)


def _provision(plan: Plan) -> list[Process]:
    wanted = provisioning(plan)
    return [
        Process(
            name=f"{part}-provision",
            argv=[plan.python, str(_PROVISION), "prepare"],
            group="servers",
            cwd=str(plan.root),
            env={**plan.base_environment, "PROVISION": json.dumps({part: content})},
        )
        for part, content in wanted.items()
        # What a lasting stack keeps on a server of somebody else is made once and not dropped.
        if part != "mongo" or plan.throw_away
    ]


def provisioning(plan: Plan) -> dict[str, object]:
    """What the suite needs on servers that it does not run itself."""
    wanted: dict[str, object] = {}
    fresh = plan.throw_away
    if plan.external.mysql:
        accounts = {
            plan.database_name(name): plan.settings[f"{name.upper()}_DATABASE_PASSWORD"] for name in SERVICES_WITH_MYSQL
        }
        wanted["mysql"] = {"url": plan.external.mysql, "accounts": accounts, "fresh": fresh}
    if plan.external.mongo:
        databases = [plan.database_name(name) for name in SERVICES_WITH_MONGO]
        wanted["mongo"] = {"url": plan.external.mongo, "databases": databases}
    if plan.external.amqp:
        password = plan.settings["BROKER_PASSWORD"]
        wanted["broker"] = {
            "url": plan.external.amqp_api,
            "vhost": plan.vhost,
            "user": plan.broker_user,
            "password": password,
            "fresh": fresh,
        }
    return wanted


def provision_command(plan: Plan, step: str) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of a provisioning step, for everything at once."""
    return (
        [plan.python, str(_PROVISION), step],
        {**plan.base_environment, "PROVISION": json.dumps(provisioning(plan))},
    )


def exports(plan: Plan) -> dict[str, str]:
    """Variables that tell a test, or a person's shell, where everything of the stack is."""
    found = {
        "STACK_MYSQL_URL": plan.mysql_url,
        "STACK_MONGO_URL": plan.mongo_url,
        "STACK_AMQP_URL": plan.amqp_url,
        "STACK_AMQP_API_URL": plan.amqp_api_url,
        "STACK_STATE": str(plan.state.path),
    }
    if not plan.servers_only:
        found |= {
            "STACK_SMTP_URL": plan.local_url("mail-smtp", scheme="smtp"),
            "STACK_MAIL_API_URL": plan.local_url("mail-page"),
            "STACK_GATEWAY_URL": plan.local_url("gateway"),
            "STACK_GATEWAY_OPS_URL": plan.local_url("gateway-ops"),
            "ADMIN_EMAIL": plan.settings["ADMIN_EMAIL"],
            "ADMIN_PASSWORD": plan.settings["ADMIN_PASSWORD"],
        }
        if plan.simulates_tmdb:
            found["STACK_TMDB_SIMULATOR_URL"] = plan.local_url("tmdb-simulator")
    return found
