"""Secrets, ports and the process table that follow from the settings."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from localstack import envfile, planning, services
from localstack.errors import StackError
from localstack.plan import Plan
from localstack.ports import MOST_REPLICAS, TABLE, THROW_AWAY_OFFSETS, Ports, claim_offset
from localstack.state import State


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in planning.environment():
        if re.match(r"STACK_|TMDB_|ADMIN_|REPLICAS|[A-Z]+_DATABASE_PASSWORD|IDENTITY_|GATEWAY_|LOG_LEVEL", name):
            monkeypatch.delenv(name)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return planning.make(State(tmp_path / "state"), "test", throw_away=True, offset=3000)


@pytest.fixture
def _mongod(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("localstack.servers.mongo_program", lambda _tools: ("mongod", "/usr/bin/mongod"))
    monkeypatch.setattr("localstack.servers.rabbitmq_script", lambda: "/usr/lib/rabbitmq/bin/rabbitmq-server")
    return iter(())


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    first = envfile.ensure(file, {})
    assert set(first) == set(envfile.REQUIRED)
    assert file.stat().st_mode & 0o777 == 0o600
    assert envfile.ensure(file, {}) == first
    others = envfile.ensure(tmp_path / "other.env", {})
    secrets = {name for name in first if name != "ADMIN_EMAIL"}
    assert all(first[name] != others[name] and len(first[name]) >= 32 for name in secrets)


def test_what_the_user_wrote_is_respected(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nADMIN_EMAIL=boss@example.com\nTMDB_TOKEN='abc'\nINTERNAL_TOKEN=")
    values = envfile.ensure(file, {"ADMIN_PASSWORD": "from the shell"})
    assert values["ADMIN_EMAIL"] == "boss@example.com"
    assert values["TMDB_TOKEN"] == "abc"
    assert values["INTERNAL_TOKEN"], "an empty secret is no secret"
    text = file.read_text()
    assert text.startswith("# mine\nADMIN_EMAIL=boss@example.com\n")
    assert "\nADMIN_PASSWORD" not in text, "what the shell gives is not written down"


@pytest.mark.parametrize("offset", [0, *THROW_AWAY_OFFSETS])
def test_no_two_ports_of_a_stack_are_the_same(offset: int) -> None:
    ports = Ports(offset)
    families = ("gateway", "identity", "subscription", "catalog", "watch")
    replicated = [name for name in TABLE if name.partition("-")[0] in families]
    numbers = [ports.of(name) for name in TABLE if name not in replicated]
    numbers += [ports.of(name, replica) for name in replicated for replica in range(MOST_REPLICAS)]
    assert len(numbers) == len(set(numbers))
    assert max(numbers) < 32768, "ephemeral ports begin there"


def test_a_port_can_be_moved_alone() -> None:
    ports = Ports(0, {"STACK_PORT_GATEWAY_OPS": "19080"})
    assert ports.of("gateway-ops", 1) == 19090
    assert ports.of("gateway", 1) == 8090


def test_an_offset_outside_the_usable_ports_is_refused() -> None:
    with pytest.raises(StackError, match="STACK_PORT_OFFSET=9000"):
        Ports(9000)


def test_two_throw_away_stacks_get_different_ports() -> None:
    one, two = claim_offset(), claim_offset()
    assert one.offset != two.offset
    one.release()
    two.release()


@pytest.mark.parametrize("value", ["0", "11", "many"])
def test_a_silly_number_of_replicas_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("REPLICAS", value)
    with pytest.raises(StackError, match="REPLICAS"):
        planning.make(State(tmp_path), "test", throw_away=True)


def test_a_film_file_is_meant_relative_to_the_callers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "films.jsonl").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMDB_SIMULATOR_FILMS", "films.jsonl")
    plan = planning.make(State(tmp_path / "state"), "test", throw_away=True)
    simulator = next(row for row in services.helpers(plan) if row.name == "tmdb-simulator")
    assert simulator.env["TMDB_SIMULATOR_FILMS"] == str(tmp_path / "films.jsonl")
    monkeypatch.setenv("TMDB_SIMULATOR_FILMS", "missing.jsonl")
    with pytest.raises(StackError, match=r"TMDB_SIMULATOR_FILMS: there is no file .*missing\.jsonl"):
        planning.make(State(tmp_path / "state"), "test", throw_away=True)


def test_tests_never_ask_the_real_tmdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMDB_TOKEN", "a real token")
    plan = planning.make(State(tmp_path), "test", throw_away=True)
    catalog = services.settings(plan, next(each for each in services.SERVICES if each.name == "catalog"))
    assert catalog["TMDB_BASE_URL"].startswith("http://127.0.0.1:")
    assert catalog["TMDB_TOKEN"] == "simulator"


@pytest.mark.usefixtures("_mongod")
def test_each_replica_is_known_to_its_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICAS", "2")
    plan = planning.make(State(tmp_path), "test", throw_away=True, offset=3000)
    table = {row.name: row for row in planning.process_table(plan)}
    assert {"gateway", "gateway-2", "watch-api", "watch-api-2", "watch-worker", "watch-worker-2"} <= set(table)
    assert table["gateway-2"].env["GATEWAY_CATALOG_URLS"] == "http://127.0.0.1:11103,http://127.0.0.1:11113"
    assert table["gateway-2"].env["GATEWAY_OPS_PORT"] == "12090"
    assert table["watch-worker-2"].probe == "http://127.0.0.1:12114/readyz"


@pytest.mark.usefixtures("_mongod")
def test_a_service_sees_its_own_secrets_only(plan: Plan) -> None:
    table = {row.name: row for row in planning.process_table(plan)}
    secrets = {name: plan.settings[name] for name in envfile.REQUIRED if name not in ("ADMIN_EMAIL", "INTERNAL_TOKEN")}
    seen = {
        name: {secret for secret, value in secrets.items() if any(value in text for text in table[name].env.values())}
        for name in ("identity-api", "subscription-api", "catalog-worker", "watch-api", "gateway")
    }
    identity = {
        "ADMIN_PASSWORD",
        "IDENTITY_PASSWORD_PEPPER",
        "IDENTITY_KEY_ENCRYPTION_KEY",
        "IDENTITY_DATABASE_PASSWORD",
        "BROKER_PASSWORD",
    }
    assert seen["identity-api"] == identity
    assert seen["subscription-api"] == {"SUBSCRIPTION_DATABASE_PASSWORD", "BROKER_PASSWORD"}
    # The local MongoDB server knows no passwords; it listens on the loopback address alone.
    assert seen["catalog-worker"] == seen["watch-api"] == seen["gateway"] == {"BROKER_PASSWORD"}


@pytest.mark.usefixtures("_mongod")
def test_servers_of_somebody_else_are_used_and_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_MYSQL_URL", "mysql://root:pw@db.test:3306/")
    monkeypatch.setenv("STACK_AMQP_URL", "amqp://admin:pw@broker.test:5672/")
    with pytest.raises(StackError, match="STACK_AMQP_API_URL"):
        planning.make(State(tmp_path), "test", throw_away=True)
    monkeypatch.setenv("STACK_AMQP_API_URL", "http://admin:pw@broker.test:15672")
    plan = planning.make(State(tmp_path), "test", throw_away=True)
    table = {row.name: row for row in planning.process_table(plan)}
    assert not {"mariadb", "rabbitmq", "epmd"} & set(table)
    assert "mysql-provision" in table["identity-migrate"].needs
    assert table["identity-api"].env["IDENTITY_DATABASE_URL"].endswith("@db.test:3306/suite_test_identity")
    assert table["identity-api"].env["IDENTITY_BROKER_URL"].endswith("@broker.test:5672/suite_test")


def test_a_password_of_the_users_own_cannot_break_out_of_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from localstack import servers

    monkeypatch.setenv("IDENTITY_DATABASE_PASSWORD", "it's\\; DROP")
    plan = planning.make(State(tmp_path), "test", throw_away=True)
    assert "IDENTIFIED BY 'it''s\\\\; DROP';" in servers._mariadb_accounts(plan)
    assert plan.database_url("identity").startswith("mysql://identity:it%27s%5C%3B%20DROP@")


def test_a_port_that_is_no_number_is_named() -> None:
    with pytest.raises(StackError, match=r"STACK_PORT_GATEWAY is not a port: '80\.80'"):
        Ports(0, {"STACK_PORT_GATEWAY": "80.80"}).of("gateway")


def test_a_throw_away_stack_keeps_off_the_ports_of_the_lasting_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACK_PORT_OFFSET", "100")
    monkeypatch.setenv("STACK_PORT_GATEWAY", "8888")
    plan = planning.make(State(tmp_path), "test", throw_away=True, offset=3300)
    assert plan.ports.of("gateway") == 8080 + 3300
    assert plan.ports.of("mariadb") == 23306 + 3300
