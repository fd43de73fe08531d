"""After a disaster MySQL and MongoDB come back from backups of different moments, and agree again by themselves."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from pymongo import MongoClient
from snapshots import MongoSnapshot, SqlSnapshot
from suite_client import Person, register, until
from suite_processes import ROOT, SuiteProcess, held_down, processes

MakePackage = Callable[..., dict[str, Any]]
SQL, DOCUMENTS = ("identity", "subscription"), ("catalog", "watch")
# A sweep of the projection comes every minute, and first when a worker becomes the leader.
HEALED_SECONDS = 100


def database_url(service: str) -> str:
    """Where the service's processes find their database."""
    return processes()[f"{service}-worker"].environment[f"{service.upper()}_DATABASE_URL"]


def of_services() -> list[str]:
    """All processes that use a database, every replica."""
    return [name for name in processes() if not name.startswith("gateway")]


def subscribe(person: Person, package: dict[str, Any]) -> str:
    answer = person.post("/v1/subscriptions", {"packageId": package["id"]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def projected(*people: Person) -> list[set[int]]:
    """The genres of each in catalog-service's projection, whatever subscription-service would say."""
    with MongoClient[dict[str, Any]](database_url("catalog")) as client:
        collection = client.get_default_database()["entitlements"]
        found = [collection.find_one({"_id": person.id}) or {"grants": []} for person in people]
    return [{genre for grant in document["grants"] for genre in grant["genreIds"]} for document in found]


def events(process: SuiteProcess, *arguments: str) -> str:
    """An `events` command of the operator, in the environment of a process."""
    argv = [*process.argv[:-1], "events", *arguments]
    done = subprocess.run(argv, env=process.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_a_projection_that_is_behind_its_source_catches_up(
    http: Any, make_package: MakePackage, genres: dict[str, int]
) -> None:
    early, late, unchanged = register(http), register(http), register(http)
    western, war = make_package("Western"), make_package("War")
    subscribe(early, western)
    subscribe(unchanged, war)
    until(lambda: projected(early, unchanged) == [{genres["Western"]}, {genres["War"]}], 30, "events")
    documents = [MongoSnapshot(database_url(service)) for service in DOCUMENTS]
    subscribe(early, war)
    subscribe(late, western)
    rows = [SqlSnapshot(database_url(service)) for service in SQL]
    lost = register(http)
    subscribe(lost, western)
    with held_down(*of_services()):
        for backup in (*documents, *rows):
            backup.restore()
        assert projected(early, late, lost) == [{genres["Western"]}, set(), set()]
    wanted = [{genres["Western"], genres["War"]}, {genres["Western"]}, {genres["War"]}, set()]
    until(lambda: projected(early, late, unchanged, lost) == wanted, HEALED_SECONDS, "healing")
    answer = http.post("/v1/auth/login", json={"email": lost.email, "password": lost.password})
    assert answer.status_code == 401, "whoever registered after the backup has to do so again"


@pytest.mark.timeout(300)
def test_a_projection_that_is_ahead_of_its_source_is_taken_back(
    http: Any, make_package: MakePackage, genres: dict[str, int]
) -> None:
    someone, newcomer = register(http), register(http)
    western, war = make_package("Western"), make_package("War")
    subscription = subscribe(someone, western)
    film = someone.get("/v1/movies?pageSize=1").json()["data"][0]
    rows = [SqlSnapshot(database_url(service)) for service in SQL]
    assert someone.delete(f"/v1/subscriptions/{subscription}").is_success
    subscribe(someone, war)
    subscribe(newcomer, war)
    until(lambda: projected(someone, newcomer) == [{genres["War"]}, {genres["War"]}], 30, "events")
    with held_down(*of_services()):
        for backup in rows:
            backup.restore()
        assert projected(someone, newcomer) == [{genres["War"]}, {genres["War"]}]
    # Before the next sweep, as an operator would: contents are compared, not only revisions, which are given again.
    events(processes()["catalog-worker"], "rebuild", "--projection", "entitlements")
    assert projected(someone, newcomer) == [{genres["Western"]}, set()]
    assert someone.get(f"/v1/movies/{film['id']}").status_code == 200
    assert newcomer.get("/v1/movies").json()["data"] == []
    subscribe(newcomer, western)
    until(lambda: projected(newcomer) == [{genres["Western"]}], 30, "a revision that was used before the restore")
