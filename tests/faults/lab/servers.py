"""MariaDB, RabbitMQ and a MongoDB server of the laboratory's own, which it may kill and freeze."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from lab.guardian import guard_folder
from lab.processes import Program
from localstack import bootstrap, planning, probes
from localstack.plan import External, Plan
from localstack.ports import claim_offset
from localstack.process import Process, levels
from localstack.state import State

_OWN_SERVERS = {"STACK_MYSQL_URL": "", "STACK_MONGO_URL": "", "STACK_AMQP_URL": "", "STACK_AMQP_API_URL": ""}


class Servers:
    """The running servers and, if asked for, the whole suite, as programs by their names in the stack's table."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.folder = plan.state.path
        self.rows = {row.name: row for row in planning.process_table(plan)}
        self.programs: dict[str, Program] = {}

    def start(self, names: frozenset[str] | None = None) -> None:
        """Start the rows of the table, those they need first."""
        for level in levels(list(self.rows.values())):
            wanted = [self.rows[name] for name in level if names is None or name in names]
            started = [self.start_row(row) for row in wanted]
            for row, program in zip(wanted, started, strict=True):
                if row.one_shot:
                    assert program.wait_end(60) == 0, program.tail()
                else:
                    program.wait_ready(90)

    def start_row(self, row: Process, environment: Mapping[str, str] | None = None) -> Program:
        """Start one row, with changes to its environment."""
        log = self.plan.state.log(row.name)
        variables = {**row.env, **(environment or {})}
        program = Program(row.name, row.argv, variables, log, cwd=Path(row.cwd), probe=row.probe)
        self.programs[row.name] = program
        return program.start()

    def __getitem__(self, name: str) -> Program:
        return self.programs[name]

    def restart(self, name: str) -> float:
        """Start a server that was killed; returns the seconds until it answers."""
        began = time.monotonic()
        self.programs[name].start().wait_ready(90)
        return time.monotonic() - began

    def wait_broker(self) -> None:
        """Return when the broker answers its management API: its queues have leaders by then."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with self.management() as client:
                    if client.get("/api/health/checks/local-alarms").status_code in (200, 503):
                        return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError("the broker's management does not answer")

    @contextmanager
    def management(self) -> Iterator[httpx.Client]:
        """A client of the broker's management API."""
        url = httpx.URL(self.plan.amqp_api_url)
        base = url.copy_with(username=None, password=None)
        with httpx.Client(base_url=base, auth=(url.username, url.password), timeout=20, trust_env=False) as client:
            yield client

    def queues(self, vhost: str) -> dict[str, dict[str, Any]]:
        """The broker's own account of its queues."""
        with self.management() as client:
            return {queue["name"]: queue for queue in client.get(f"/api/queues/{vhost}").raise_for_status().json()}

    def connections(self, vhost: str) -> list[dict[str, Any]]:
        """The broker's own account of its connections."""
        with self.management() as client:
            found: list[dict[str, Any]] = client.get(f"/api/vhosts/{vhost}/connections").raise_for_status().json()
            return found

    def rabbitmqctl(self, *arguments: str) -> None:
        """An administrative command of the broker."""
        script = Path(self.rows["rabbitmq"].argv[0]).with_name("rabbitmqctl")
        subprocess.run([str(script), *arguments], env=self.rows["rabbitmq"].env, check=True, capture_output=True)

    def port(self, name: str) -> int:
        return self.plan.ports.of(name)

    def end(self) -> None:
        """End everything that was started."""
        for program in reversed(list(self.programs.values())):
            program.end()


@contextmanager
def laboratory(*, servers_only: bool = True, replicas: int = 1) -> Iterator[Servers]:
    """Servers with ports and data of their own; nothing is left behind."""
    claim = claim_offset()
    try:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            guard_folder(Path(folder))
            # Only while the plan is made: other tests of this run read the same variables.
            with mock.patch.dict(os.environ, {**_OWN_SERVERS, "REPLICAS": str(replicas)}):
                bootstrap.ensure(planning.ROOT, External.of(planning.environment()), lambda _: None)
                plan = planning.make(
                    State(Path(folder)), "test", throw_away=True, offset=claim.offset, servers_only=servers_only
                )
                servers = Servers(plan)
            try:
                yield servers
            finally:
                servers.end()
    finally:
        claim.release()


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    return probes.passes(f"tcp://127.0.0.1:{port}")
