"""The whole suite with several replicas of each process, every server and the broker behind faulty links."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import httpx
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from sqlalchemy import create_engine, text
from suite_client import PASSWORD, Person, until
from yarl import URL

from chassis.sql import driver_url
from lab.processes import Program
from lab.proxy import Proxy
from lab.servers import Servers, laboratory


class Suite:
    """The running suite and what a test needs to use and to hurt it."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        plan = servers.plan
        self.links = {
            "producers": Proxy(servers.port("rabbitmq")),
            "consumers": Proxy(servers.port("rabbitmq")),
            "gateways": Proxy(servers.port("rabbitmq")),
            "mysql": Proxy(servers.port("mariadb")),
            "mongo": Proxy(servers.port("mongo")),
        }
        for name, row in servers.rows.items():
            servers.rows[name] = replace(row, env=self._through_links(row.name, row.env))
        self.gateway_urls = [plan.local_url("gateway", replica) for replica in range(plan.replicas)]
        self.clients = [self.client(url) for url in self.gateway_urls]
        self.mongo: MongoClient[dict[str, Any]] = MongoClient(plan.mongo_url, uuidRepresentation="standard")
        self.projection = self.mongo[plan.database_name("catalog")]["entitlements"]

    def _through_links(self, name: str, environment: dict[str, str]) -> dict[str, str]:
        service = name.split("-", maxsplit=1)[0]
        broker = {"subscription": "producers", "identity": "producers", "gateway": "gateways"}.get(service, "consumers")
        database = {"subscription": "mysql", "catalog": "mongo"}.get(service)
        changed = dict(environment)
        for variable, value in environment.items():
            if variable.endswith("_BROKER_URL"):
                changed[variable] = str(URL(value).with_port(self.links[broker].port))
            elif variable.endswith("_DATABASE_URL") and database:
                changed[variable] = str(URL(value).with_port(self.links[database].port))
        return changed

    def client(self, url: str) -> httpx.Client:
        return httpx.Client(base_url=url, timeout=30, trust_env=False)

    def replicas(self, name: str) -> list[Program]:
        """All replicas of a process."""
        programs = self.servers.programs
        return [program for key, program in programs.items() if key == name or key.startswith(f"{name}-")]

    def close(self) -> None:
        for link in self.links.values():
            link.close()
        for client in self.clients:
            client.close()
        self.mongo.close()

    # People and packages.

    def admin(self) -> Person:
        settings = self.servers.plan.settings
        person = Person(self.clients[0], "", settings["ADMIN_EMAIL"], settings["ADMIN_PASSWORD"]).log_in()
        person.id = person.get("/v1/users/me").json()["id"]
        return person

    def someone(self, gateway: int = 0) -> Person:
        email = f"person-{secrets.token_hex(6)}@example.com"
        person = {"email": email, "password": PASSWORD, "name": "Somebody"}
        answer = self.clients[gateway].post("/v1/users", json=person)
        assert answer.status_code == 201, answer.text
        return Person(self.clients[gateway], answer.json()["id"], email, PASSWORD).log_in()

    def packages(self, admin: Person, count: int) -> list[str]:
        """Active packages of two genres each; waits until the catalog knows its genres."""

        def genres() -> list[int]:
            answer = admin.get("/v1/genres?pageSize=100")
            return [genre["id"] for genre in answer.json()["data"]] if answer.status_code == 200 else []

        known: list[int] = until(lambda: found if len(found := genres()) >= 15 else None, 120, "genres")
        made = []
        for number in range(count):
            body = {"name": f"Package {secrets.token_hex(5)}", "genreIds": known[number * 2 : number * 2 + 2]}
            answer = admin.post("/v1/packages", body)
            assert answer.status_code == 201, answer.text
            made.append(answer.json()["id"])
        return made

    # The truth and the projection.

    def truth(self, user_ids: list[str]) -> dict[str, tuple[int, list[list[int]]]]:
        """What the source says about these users, by its own snapshot."""
        plan = self.servers.plan
        token = plan.settings["INTERNAL_TOKEN"]
        found = {}
        with httpx.Client(
            base_url=plan.local_url("subscription"),
            headers={"authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
        ) as client:
            for user_id in user_ids:
                query = {"bucket": _bucket(user_id), "limit": 500}
                answer = client.get("/internal/v1/entitlements", params=query).raise_for_status()
                for row in answer.json()["entitlements"]:
                    grants = sorted(sorted(grant["genreIds"]) for grant in row["grants"])
                    found[row["userId"]] = (int(row["revision"]), grants)
        return {user_id: found[user_id] for user_id in user_ids if user_id in found}

    def projected(self, user_ids: list[str]) -> dict[str, tuple[int, list[list[int]]]]:
        """What the catalog has about these users."""
        rows = self.projection.find({"_id": {"$in": user_ids}})
        return {
            row["_id"]: (int(row["revision"]), sorted(sorted(g["genreIds"]) for g in row["grants"])) for row in rows
        }

    def wait_equal(self, user_ids: list[str], seconds: float) -> float:
        """Wait until the projection equals the truth; returns how long it took."""
        began = time.monotonic()
        while True:
            truth, projected = self.truth(user_ids), self.projected(user_ids)
            different = {key: (row, projected.get(key)) for key, row in truth.items() if projected.get(key) != row}
            took = time.monotonic() - began
            if not different:
                return took
            assert took < seconds, f"{len(different)} of {len(truth)} differ: {list(different.items())[:2]}"
            time.sleep(0.2)

    @contextmanager
    def without_sweep(self) -> Iterator[None]:
        """Nobody compares the projection with its source, so that events alone make them equal.

        A sweep while events are held up would put right what is only late, and hide what is lost.
        """
        leases = self.mongo[self.servers.plan.database_name("catalog")]["leases"]
        ours = {"owner": "the laboratory", "expiresAt": round((time.time() + 3600) * 1000)}
        lost_before = self._sweeps_lost()
        before = leases.find_one_and_update({"_id": "healing"}, {"$set": ours, "$inc": {"fence": 1}})
        if before and before.get("owner"):
            until(lambda: self._sweeps_lost() > lost_before, 15, "the holder lets go")
        try:
            yield
        finally:
            leases.update_one({"_id": "healing"}, {"$set": {"owner": None}, "$unset": {"expiresAt": ""}})

    def _sweeps_lost(self) -> int:
        logs = "".join(program.log.read_text(errors="replace") for program in self.workers())
        return sum("lease lost" in line and '"healing"' in line for line in logs.splitlines())

    def repairs(self) -> int:
        """How often the catalog's sweep has found something that events had not brought."""
        return sum(program.log.read_text(errors="replace").count("entitlements repaired") for program in self.workers())

    def errors(self, name: str, since: str = "") -> list[str]:
        """The ends of the last errors that the replicas of a process have logged, from a time (RFC 3339, UTC) on."""
        lines = [
            line for program in self.replicas(name) for line in program.log.read_text(errors="replace").splitlines()
        ]
        # A line begins with its time; the last one of a killed process may have no end.
        found = [line for line in lines if '"level":"error"' in line and line.removeprefix('{"time":"') >= since]
        return [line[-2500:] for line in found][-5:]

    def workers(self) -> list[Program]:
        return self.replicas("catalog-worker")

    def remains(self, user_ids: list[str]) -> dict[str, int]:
        """What subscription-service and watch-service still hold of these users."""
        engine = create_engine(driver_url(self.servers.plan.database_url("subscription"), "pymysql"))
        ids = [uuid.UUID(user_id) for user_id in user_ids]
        with engine.connect() as connection:
            rows = connection.scalars(text("SELECT user_id FROM subscriptions")).all()
        engine.dispose()
        watched = self.mongo[self.servers.plan.database_name("watch")]["watched"]
        return {
            "subscriptions": len({bytes(row) for row in rows} & {one.bytes for one in ids}),
            "watched": watched.count_documents({"userId": {"$in": ids}}),
        }

    def parked(self) -> int:
        """Parked messages of all queues."""
        vhost = self.servers.plan.vhost
        return sum(row.get("messages", 0) for name, row in self.servers.queues(vhost).items() if "parked" in name)


def _bucket(user_id: str) -> int:

    return zlib.crc32(user_id.encode("ascii")) & 255


class Monitor:
    """Watches revisions in the projection: one that decreases is a fault whatever happens."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.went_back: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        seen: dict[str, int] = {}
        while not self._stop.wait(0.2):
            try:
                for row in self._suite.projection.find({}, {"revision": 1}):
                    if row["revision"] < seen.get(row["_id"], 0):
                        self.went_back.append(f"{row['_id']}: {seen[row['_id']]} to {row['revision']}")
                    seen[row["_id"]] = row["revision"]
            except PyMongoError:
                continue


@contextmanager
def running_suite(replicas: int) -> Iterator[Suite]:
    """The suite, started and ready."""
    with laboratory(servers_only=False, replicas=replicas) as servers:
        suite = Suite(servers)
        try:
            servers.start()
            servers.wait_broker()
            yield suite
        finally:
            suite.close()


def measure(samples: int, sample: Callable[[], float]) -> dict[str, float]:
    """Percentiles of repeated measurements, in seconds."""
    found = sorted(sample() for _ in range(samples))
    return {"p50": found[len(found) // 2], "p99": found[min(len(found) - 1, len(found) * 99 // 100)], "max": found[-1]}
