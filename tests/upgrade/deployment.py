"""One suite's databases and virtual host, and its processes, each in the version that a test asks for."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from lab.guardian import guard_folder
from lab.processes import Program
from lab.servers import Servers
from pymongo import MongoClient
from sqlalchemy import NullPool, create_engine, text
from tests.upgrade.previous import Version

from chassis.sql import driver_url
from localstack import bootstrap, planning
from localstack.plan import SERVICES_WITH_MONGO, SERVICES_WITH_MYSQL, External, Plan
from localstack.ports import claim_offset
from localstack.process import Process
from localstack.state import State

SERVICES = (*SERVICES_WITH_MYSQL, *SERVICES_WITH_MONGO)
_READY_SECONDS = 120


class Deployment:
    """The suite; of every process there may be two, so that one can take the other's place."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.plan = servers.plan
        self.mongo: MongoClient[dict[str, Any]] = MongoClient(self.plan.mongo_url)

    def start(self, version: Version, names: Iterable[str]) -> list[Program]:
        """Start processes of a version; they need not be ready when this returns."""
        return [self.servers.start_row(self._row(version, name)) for name in names]

    def _row(self, version: Version, name: str) -> Process:
        row = self.servers.rows[name]
        return replace(row, env={**row.env, "PYTHONPATH": version.python_path}, cwd=str(version.root))

    def migrate(self, version: Version) -> None:
        """Bring every database to what this version needs."""
        version.require_own_packages(self._row(version, f"{SERVICES[0]}-migrate"))
        for program in self.start(version, (f"{service}-migrate" for service in SERVICES)):
            assert program.wait_end(_READY_SECONDS) == 0, program.tail()

    def end(self, names: Iterable[str]) -> None:
        """End processes in good order."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Program.terminate, [self.servers[name] for name in names]))

    # What is stored.

    def schema_version(self, service: str) -> object:
        """The version that the migrations have left in the database."""
        if service in SERVICES_WITH_MYSQL:
            return self.query(service, "SELECT version_num FROM alembic_version")
        return next(iter(self.mongo[self.plan.database_name(service)]["schema"].find()), None)

    def description(self, service: str) -> dict[str, object]:
        """Every table or collection: its definition, its indexes and how much is in it."""
        if service in SERVICES_WITH_MYSQL:
            return {row[0]: self._table(service, row[0]) for row in self.query(service, "SHOW TABLES")}
        database = self.mongo[self.plan.database_name(service)]
        return {
            found["name"]: (
                found.get("options"),
                database[found["name"]].index_information(),
                database[found["name"]].count_documents({}),
            )
            for found in database.list_collections()
        }

    def _table(self, service: str, name: str) -> object:
        definition = self.query(service, f"SHOW CREATE TABLE `{name}`")[0][1]
        if name.startswith("outbox"):
            # Events come and go while a worker runs.
            return re.sub(r" AUTO_INCREMENT=\d+", "", definition)
        return definition, self.query(service, f"SELECT COUNT(*) FROM `{name}`")  # noqa: S608 - a name of ours

    def query(self, service: str, statement: str) -> list[Any]:
        """The rows that a statement gives."""
        engine = create_engine(driver_url(self.plan.database_url(service), "pymysql"), poolclass=NullPool)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def parked(self) -> int:
        """Messages that a consumer could not make sense of."""
        queues = self.servers.queues(self.plan.vhost)
        return sum(queue.get("messages", 0) for name, queue in queues.items() if "parked" in name)

    def logged(self, *levels: str) -> list[str]:
        """What the processes of the suite have logged at these levels."""
        wanted = tuple(f'"level":"{level}"' for level in levels)
        return [
            f"{program.name}: {line[:1500]}"
            for program in self.servers.programs.values()
            if program.name.startswith((*SERVICES, "gateway"))
            for line in program.log.read_text(errors="replace").splitlines()
            if any(level in line for level in wanted)
        ]


@contextmanager
def deployment(*, with_helpers: bool) -> Iterator[Deployment]:
    """Databases, accounts and a virtual host of its own on the servers of the test run, or on servers of its own.

    `with_helpers` starts the mail catcher and the TMDB simulator too. Nothing is left behind.
    """
    claim = claim_offset()
    try:
        with tempfile.TemporaryDirectory(prefix="upgrade-") as folder:
            guard_folder(Path(folder))
            with mock.patch.dict(os.environ, {"REPLICAS": "2"}):
                bootstrap.ensure(planning.ROOT, External.of(planning.environment()), lambda _: None)
                # A name of its own: another run may use the same servers. MySQL takes 32 characters for a user.
                profile = f"up_{secrets.token_hex(3)}"
                plan = planning.make(State(Path(folder)), profile, throw_away=True, offset=claim.offset)
            yield from _running(plan, with_helpers=with_helpers)
    finally:
        claim.release()


def _running(plan: Plan, *, with_helpers: bool) -> Iterator[Deployment]:
    servers = Servers(plan)
    helpers = {"mail-catcher", "tmdb-simulator"}
    wanted = {name for name, row in servers.rows.items() if row.group == "servers"}
    suite = Deployment(servers)
    try:
        servers.start(frozenset(wanted if with_helpers else wanted - helpers))
        servers.wait_broker()
        yield suite
    except BaseException:
        # The logs go with the folder.
        sys.stdout.write("\n".join(suite.logged("error", "warning")[-40:]) + "\n")
        raise
    finally:
        suite.mongo.close()
        # The servers last: what is to be dropped is dropped on them, if they are somebody else's.
        for name in [name for name in servers.programs if servers.rows[name].group != "servers"]:
            servers[name].end()
        _drop(plan)
        servers.end()


def _drop(plan: Plan) -> None:
    if json.loads(planning.provision_command(plan, "drop")[1]["PROVISION"]):
        argv, environment = planning.provision_command(plan, "drop")
        subprocess.run(argv, env=environment, check=True, timeout=120)
