"""docker-compose.yml says the same as the local stack, and keeps the rules of our images."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from localstack import envfile, planning, servers, services
from localstack.plan import Plan
from localstack.process import Process
from localstack.state import State

ROOT = planning.ROOT
OURS = [
    *(
        f"{name}-{kind}"
        for name in ("identity", "subscription", "catalog", "watch")
        for kind in ("api", "worker", "migrate")
    ),
    "gateway",
    "tmdb-simulator",
]
SERVERS = ["mysql", "mongo", "rabbitmq", "mailpit"]
# What each of our processes is started with in containers only: empty unless traces are collected.
TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    for name in planning.environment():
        if name.startswith(("STACK_", "TMDB_", "OTEL_", "IDENTITY_", "GATEWAY_")) or name == "REPLICAS":
            monkeypatch.delenv(name)
    monkeypatch.setattr("localstack.servers.mongo_program", lambda _tools: ("mongod", "/usr/bin/mongod"))
    monkeypatch.setattr("localstack.servers.rabbitmq_script", lambda: "/usr/lib/rabbitmq/bin/rabbitmq-server")
    return planning.make(State(tmp_path), "test", throw_away=True)


@pytest.fixture
def local(plan: Plan) -> dict[str, Process]:
    return {row.name: row for row in planning.process_table(plan)}


def own_environment(row: Process, plan: Plan) -> dict[str, str]:
    return {
        name: value
        for name, value in row.env.items()
        if name not in plan.base_environment and name != "PYTHONUNBUFFERED"
    }


@pytest.mark.parametrize("name", OURS)
def test_a_process_has_the_same_settings_in_both(
    name: str, compose: dict[str, Any], local: dict[str, Process], plan: Plan
) -> None:
    in_container = set(compose["services"][name]["environment"]) - {TRACES}
    assert in_container == set(own_environment(local[name], plan))


def test_both_have_the_same_processes(compose: dict[str, Any], local: dict[str, Process]) -> None:
    stand_ins = {"mariadb": "mysql", "mail-catcher": "mailpit"}
    not_in_containers = {"epmd", "mariadb-init", "mongo-init"}
    # What only watches the suite is started when it is asked for.
    started = {name for name, service in compose["services"].items() if "profiles" not in service}
    assert {stand_ins.get(name, name) for name in local if name not in not_in_containers} == started


def built(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that build an image, by the image's name."""
    found: dict[str, dict[str, Any]] = {}
    for service in compose["services"].values():
        if "build" in service:
            assert service["image"] not in found, "two builds of one image at once get in each other's way"
            found[service["image"]] = service
    return found


@pytest.mark.parametrize("name", OURS)
def test_a_program_is_started_alike(name: str, compose: dict[str, Any], local: dict[str, Process]) -> None:
    service = compose["services"][name]
    _, _, module, *arguments = local[name].argv
    recipe = built(compose)[service["image"]]["build"]["args"]
    assert recipe["MODULE"] == module
    assert service.get("command", []) == arguments
    assert (ROOT / recipe["DISTRIBUTION"] / "src" / module / "__init__.py").exists()


@pytest.mark.parametrize("name", OURS)
def test_an_image_is_built_before_anybody_wants_it_and_never_pulled(name: str, compose: dict[str, Any]) -> None:
    service = compose["services"][name]
    assert service["pull_policy"] == "never"
    builder = built(compose)[service["image"]]
    # Also when one service is asked for by its name: whoever builds comes with what it depends on.
    wanted = [name, *service.get("depends_on", {})]
    assert builder in [compose["services"][each] for each in wanted]


@pytest.mark.parametrize("name", OURS)
def test_ports_in_containers_are_those_of_the_local_stack(
    name: str, compose: dict[str, Any], local: dict[str, Process], plan: Plan
) -> None:
    for setting, value in own_environment(local[name], plan).items():
        if setting.endswith("_PORT"):
            assert int(compose["services"][name]["environment"][setting]) == int(value)


@pytest.mark.parametrize("name", [name for name in OURS if not name.endswith("-migrate")])
def test_a_health_check_asks_the_port_that_the_process_opens(
    name: str, compose: dict[str, Any], local: dict[str, Process]
) -> None:
    port = re.search(r":(\d+)/readyz$", local[name].probe)
    assert port
    assert compose["services"][name]["healthcheck"]["test"] == ["CMD", "healthcheck", port[1]]


@pytest.mark.parametrize("name", OURS)
def test_our_images_run_without_rights(name: str, compose: dict[str, Any]) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["stop_grace_period"] == "30s"
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert "container_name" not in service, "a fixed name cannot be scaled"
    assert ("ports" in service) == (name == "gateway"), "a fixed host port cannot be scaled"
    assert service["restart"] == ("no" if name.endswith("-migrate") else "unless-stopped")


@pytest.mark.parametrize("name", SERVERS)
def test_servers_are_checked_and_bounded(name: str, compose: dict[str, Any]) -> None:
    service = compose["services"][name]
    assert service["healthcheck"]["test"]
    assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
    assert re.search(r":v?[0-9]+\.[0-9]+\.[0-9]+(-management)?$", service["image"]), "one version and no other"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_what_watches_the_suite_has_one_version(compose: dict[str, Any]) -> None:
    for name in ("prometheus", "grafana", "jaeger"):
        assert re.search(r":v?[0-9]+\.[0-9]+\.[0-9]+$", compose["services"][name]["image"]), name


def test_start_order_is_servers_then_migrations_then_services_then_gateway(compose: dict[str, Any]) -> None:
    wanted = {name: service.get("depends_on", {}) for name, service in compose["services"].items()}
    for name, database in (("identity", "mysql"), ("subscription", "mysql"), ("catalog", "mongo"), ("watch", "mongo")):
        assert wanted[f"{name}-migrate"] == {database: {"condition": "service_healthy"}}
        migrated = {f"{name}-migrate": {"condition": "service_completed_successfully"}}
        assert wanted[f"{name}-api"] == migrated
        assert wanted[f"{name}-worker"] == migrated | {"rabbitmq": {"condition": "service_healthy"}}
        assert wanted["gateway"][f"{name}-api"] == {"condition": "service_healthy"}


def test_every_secret_comes_from_the_env_file(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    asked_for = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    assert asked_for == set(envfile.REQUIRED)
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|KEY|PEPPER", name):
                assert re.fullmatch(r"\$\{[A-Z_]+:[?-].*\}", str(value)), name


def test_the_broker_gets_the_same_accounts(compose: dict[str, Any], plan: Plan) -> None:
    text = compose["configs"]["rabbitmq-definitions"]["content"]
    filled = re.sub(r"\$\{([A-Z_]+):\?\}", lambda match: plan.settings[match[1]], text)
    assert json.loads(filled) == servers.broker_definitions(plan)


def test_urls_of_peers_name_services_and_their_ports(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if name.endswith("_URLS"):
                peer, port = re.fullmatch(r"http://([a-z]+)-api:(\d+)(?:/.*)?", value).groups()  # type: ignore[union-attr]
                assert compose["services"][f"{peer}-api"]["environment"][f"{peer.upper()}_PORT"] == port


def test_files_that_are_mounted_are_there(compose: dict[str, Any]) -> None:
    mounted = [
        re.sub(r"\$\{[A-Z_]+:-(.*)\}", r"\1", volume).partition(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
    ]
    for path in mounted:
        assert path in compose["volumes"] or (ROOT / path).exists(), path


def test_the_image_is_given_what_it_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    given = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    dockerfile = (ROOT / "deploy/compose/Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", dockerfile, re.MULTILINE)
    for path in (path for line in copied for path in line.split() if "$" not in path):
        assert any(path == each or path.startswith(f"{each}/") for each in given), path
    for service in services.SERVICES:
        assert f"{service.name}-service" in given
