"""MariaDB, RabbitMQ and MongoDB as private processes: their files and their rows of the table.

The command lines were measured on Debian 12; docs/adr has the reasons for the choice of programs.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import shlex
import shutil
from pathlib import Path

from localstack.errors import StackError
from localstack.plan import SERVICES_WITH_MYSQL, Plan
from localstack.process import Process
from localstack.state import write_private

GROUP = "servers"
_RABBITMQ_SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server")
# As strict as MySQL 8.4 is by default; MariaDB alone would accept a GROUP BY that MySQL refuses.
_SQL_MODE = (
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)


def search_path() -> str:
    """PATH and the folders of servers, which Debian leaves out of an ordinary user's PATH."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def find_program(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name, path=search_path())


def rabbitmq_script() -> str | None:
    """The broker's own start script: the one on PATH insists on its system user."""
    found = [path for path in _RABBITMQ_SCRIPTS if os.access(path, os.X_OK)]
    return found[0] if found else find_program("rabbitmq-server")


def mongo_program(tools: Path) -> tuple[str, str] | None:
    """Kind and path of the best MongoDB server there is: the real one, else SecantusDB in Rust, else in Python."""
    real = find_program("mongod")
    if real:
        return "mongod", real
    for kind in ("secantusd-rs", "secantusd-py"):
        path = tools / "secantusdb" / "bin" / kind
        if path.exists():
            return kind, str(path)
    return None


def table(plan: Plan) -> list[Process]:
    """Rows of the servers that the stack runs itself; writes their configuration."""
    rows: list[Process] = []
    if not plan.external.mysql:
        rows += _mariadb(plan)
    if not plan.external.amqp:
        rows += _rabbitmq(plan)
    if not plan.external.mongo:
        rows += _mongo(plan)
    return rows


def _server(plan: Plan, name: str, argv: list[str], probe: str, port: str, **more: object) -> Process:
    values = {"env": dict(plan.base_environment), "cwd": str(plan.state.data), "needs": ()} | more
    return Process(
        name=name,
        argv=argv,
        group=GROUP,
        probe=probe,
        port=plan.ports.of(port),
        # Data that is thrown away need not be put in order first.
        stop_signal="SIGKILL" if plan.throw_away else "SIGTERM",
        **values,  # type: ignore[arg-type]
    )


def _mariadb(plan: Plan) -> list[Process]:
    data = plan.state.data / "mariadb"
    done = plan.state.data / "mariadb.initialised"
    # Run as root, mariadbd wants to be told that this is meant; as anybody else it may not be told a user.
    user = [f"--user={getpass.getuser()}"] if os.geteuid() == 0 else []
    init_file = plan.state.config / "mariadb-init.sql"
    write_private(init_file, _mariadb_accounts(plan))
    rows = []
    if not done.exists():
        install = shlex.join(
            [
                "mariadb-install-db",
                "--no-defaults",
                *user,
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ]
        )
        # The mark is set last: an interrupted attempt is thrown away by the next.
        script = f"rm -rf {shlex.quote(str(data))} && {install} && touch {shlex.quote(str(done))}"
        rows.append(
            Process(
                name="mariadb-init",
                argv=["sh", "-c", script],
                group=GROUP,
                cwd=str(plan.state.data),
                env=dict(plan.base_environment),
            )
        )
    argv = [
        "mariadbd",
        "--no-defaults",
        *user,
        f"--datadir={data}",
        # Relative to the data folder: a socket's path may have 107 bytes only.
        "--socket=mariadb.sock",
        f"--pid-file={data}/mariadb.pid",
        f"--port={plan.ports.of('mariadb')}",
        "--bind-address=127.0.0.1",
        f"--init-file={init_file}",
        "--skip-log-bin",
        "--skip-name-resolve",
        "--performance-schema=OFF",
        # A commit survives the death of the process, not of the machine: right for a desk, and three times as fast.
        "--innodb-flush-log-at-trx-commit=2",
        "--innodb-doublewrite=0",
        "--innodb-flush-method=nosync",
        "--innodb-buffer-pool-size=128M",
        "--innodb-log-file-size=32M",
        "--max-connections=500",
        "--default-time-zone=+00:00",
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_unicode_520_ci",
        "--transaction-isolation=READ-COMMITTED",
        f"--sql-mode={_SQL_MODE}",
    ]
    needs = tuple(row.name for row in rows)
    probe = plan.local_url("mariadb", scheme="greeting")
    return [*rows, _server(plan, "mariadb", argv, probe, "mariadb", needs=needs)]


def _mariadb_accounts(plan: Plan) -> str:
    """SQL that MariaDB runs at each start, before it answers: one statement a line."""
    root = _sql_text(plan.settings["MYSQL_ROOT_PASSWORD"])
    lines = [f"ALTER USER IF EXISTS root@{host} IDENTIFIED BY {root};" for host in ("localhost", "'127.0.0.1'")]
    for service in SERVICES_WITH_MYSQL:
        password = _sql_text(plan.settings[f"{service.upper()}_DATABASE_PASSWORD"])
        lines += [
            f"CREATE DATABASE IF NOT EXISTS {service};",
            f"CREATE USER IF NOT EXISTS {service}@'%' IDENTIFIED BY {password};",
            f"ALTER USER {service}@'%' IDENTIFIED BY {password};",
            f"GRANT ALL ON {service}.* TO {service}@'%';",
        ]
    return "\n".join(lines) + "\n"


def _sql_text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _rabbitmq(plan: Plan) -> list[Process]:
    script = rabbitmq_script()
    if script is None:
        raise StackError("rabbitmq-server is not installed")
    home = plan.state.data / "rabbitmq"
    home.mkdir(exist_ok=True)
    cookie = home / ".erlang.cookie"
    if not cookie.exists():
        write_private(cookie, secrets.token_hex(20))
        cookie.chmod(0o400)
    definitions = plan.state.config / "rabbitmq-definitions.json"
    write_private(definitions, json.dumps(broker_definitions(plan), indent=1))
    config = plan.state.config / "rabbitmq.conf"
    config.write_text(
        f"listeners.tcp.1 = 127.0.0.1:{plan.ports.of('rabbitmq')}\n"
        "management.tcp.ip = 127.0.0.1\n"
        f"management.tcp.port = {plan.ports.of('rabbitmq-management')}\n"
        f"load_definitions = {definitions}\n"
        "log.file = false\n"
        "log.console = true\n"
        "log.console.level = warning\n"
        "log.console.formatter = json\n"
        "disk_free_limit.absolute = 50MB\n"
        "vm_memory_high_watermark.absolute = 512MB\n"
    )
    plugins = plan.state.config / "enabled_plugins"
    plugins.write_text("[rabbitmq_management].\n")
    epmd_port = str(plan.ports.of("epmd"))
    environment = dict(plan.base_environment) | {
        "HOME": str(home),
        "RABBITMQ_NODENAME": "suite@localhost",
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_DIST_PORT": str(plan.ports.of("rabbitmq-distribution")),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": epmd_port,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    # Erlang's port mapper is run here in the foreground: the broker would leave one behind as a daemon.
    epmd = _server(
        plan,
        "epmd",
        ["epmd", "-address", "127.0.0.1", "-port", epmd_port],
        plan.local_url("epmd", scheme="tcp"),
        "epmd",
    )
    broker = _server(
        plan,
        "rabbitmq",
        [script],
        plan.local_url("rabbitmq", scheme="tcp"),
        "rabbitmq",
        needs=("epmd",),
        env=environment,
    )
    return [epmd, broker]


def broker_definitions(plan: Plan) -> dict[str, object]:
    """Users and virtual hosts that the broker loads at each start."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [
            {"name": "admin", "password": plan.settings["BROKER_ADMIN_PASSWORD"], "tags": ["administrator"]},
            {"name": plan.broker_user, "password": plan.settings["BROKER_PASSWORD"], "tags": []},
        ],
        "vhosts": [{"name": "/"}, {"name": plan.vhost}],
        "permissions": [
            {"user": "admin", "vhost": "/", **everything},
            {"user": "admin", "vhost": plan.vhost, **everything},
            {"user": plan.broker_user, "vhost": plan.vhost, **everything},
        ],
    }


def _mongo(plan: Plan) -> list[Process]:
    found = mongo_program(plan.tools)
    if found is None:
        raise StackError("no MongoDB server is installed")
    kind, program = found
    # A folder for each kind: they do not share a format, or nobody has shown that they do.
    data = plan.state.data / kind
    data.mkdir(exist_ok=True)
    port = plan.ports.of("mongo")
    probe = plan.local_url("mongo", scheme="tcp")
    if kind == "mongod":
        argv = [program, "--dbpath", str(data), "--bind_ip", "127.0.0.1", "--port", str(port)]
        server = _server(plan, "mongo", [*argv, "--replSet", "rs0", "--wiredTigerCacheSizeGB", "0.25"], probe, "mongo")
        initiate = Process(
            name="mongo-init",
            argv=[plan.python, str(Path(__file__).parent.parent / "provision.py"), "replica-set", plan.mongo_url],
            group=GROUP,
            cwd=str(plan.root),
            env=dict(plan.base_environment),
            needs=("mongo",),
        )
        return [server, initiate]
    # --sync-on-commit: without it an acknowledged write can be lost when the process is killed.
    argv = [program, "--host", "127.0.0.1", "--port", str(port), "--storage-path", str(data), "--sync-on-commit"]
    argv += ["--cache-size", "256M"]
    if kind == "secantusd-rs":
        argv += ["--log-file-max", "128MB"]
    return [_server(plan, "mongo", argv, probe, "mongo")]
