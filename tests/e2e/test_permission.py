"""What somebody may see is one and the same in the list, in the single movie and when it is marked as watched.

Random films are served by a TMDB simulator of the test's own to a catalog of the test's own; random packages of them
are made and subscribed to in the suite. An oracle says what the contract's section 7 makes of both.
"""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from suite_client import Person, register, unique, until
from suite_processes import ROOT, SuiteProcess, copies, free_port, processes

from chassis.testing.servers import mongo_database

NAMES = ("Western", "Music", "History", "War", "Family")
DROPPED_BY_TMDB = 10769
FILMS, PEOPLE = 45, 4
CATALOG_SECONDS = 60


@dataclass(frozen=True, slots=True)
class World:
    """Films by id with their genres, and the two services that decide with one setting of GENRE_MATCH."""

    films: Mapping[int, frozenset[int]]
    catalog: str
    watch: str


def is_permitted(film: frozenset[int], entitled: frozenset[int], match: str) -> bool:
    """The contract's section 7: any genre entitled, or with `all` every one; never a film without genres."""
    if match == "all":
        return film != frozenset() and film <= entitled
    return not film.isdisjoint(entitled)


def own_process(name: str, more: Mapping[str, str]) -> tuple[SuiteProcess, dict[str, str]]:
    """A process of the stack and the settings of a copy: with ports of its own and without a broker to disturb."""
    prefix = name.partition("-")[0].upper()
    ports = {f"{prefix}_{which}": str(free_port()) for which in ("PORT", "OPS_PORT")}
    return processes()[name], {**ports, f"{prefix}_BROKER_URL": "amqp://nobody@127.0.0.1:1/", **more}


def migrate(process: SuiteProcess, more: Mapping[str, str]) -> None:
    argv = [*process.argv[:-1], "migrate"]
    subprocess.run(argv, env={**process.environment, **more}, cwd=ROOT, check=True, capture_output=True)


@pytest.fixture
def films(genres: dict[str, int]) -> dict[int, frozenset[int]]:
    """Films of none to four genres, one of which TMDB lists no longer."""
    choice = random.Random(20261128)
    pool = [*(genres[name] for name in NAMES), DROPPED_BY_TMDB]
    return {number: frozenset(choice.sample(pool, choice.randint(0, 4))) for number in range(1, FILMS + 1)}


@pytest.fixture
def tmdb(films: dict[int, frozenset[int]], tmp_path: Path) -> Iterator[str]:
    """The address of a simulator that serves `films`."""
    lines = [
        json.dumps({"id": number, "title": f"Film {number}", "genre_ids": sorted(of), "popularity": number})
        for number, of in films.items()
    ]
    (tmp_path / "films.jsonl").write_text("\n".join(lines))
    port = free_port()
    settings = {"TMDB_SIMULATOR_PORT": str(port), "TMDB_SIMULATOR_FILMS": str(tmp_path / "films.jsonl")}
    process = subprocess.Popen([sys.executable, "-m", "tmdb_simulator"], env=settings, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(f"{url}/readyz"), 30, "a simulator")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(params=["any", "all"])
def match(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@pytest.fixture
def world(match: str, films: dict[int, frozenset[int]], tmdb: str, tmp_path: Path) -> Iterator[World]:
    with mongo_database("catalog") as catalog_url, mongo_database("watch") as watch_url, copies() as start:
        catalog = {"CATALOG_DATABASE_URL": catalog_url, "GENRE_MATCH": match, "TMDB_BASE_URL": f"{tmdb}/3"}
        api, api_settings = own_process("catalog-api", catalog)
        worker, worker_settings = own_process("catalog-worker", catalog)
        catalog_address = f"http://127.0.0.1:{api_settings['CATALOG_PORT']}"
        watch = {"WATCH_DATABASE_URL": watch_url, "WATCH_CATALOG_URLS": catalog_address}
        marking, marking_settings = own_process("watch-api", watch)
        migrate(api, api_settings)
        migrate(marking, marking_settings)
        started = [
            start(process, tmp_path / f"{process.name}.log", settings)
            for process, settings in ((api, api_settings), (worker, worker_settings), (marking, marking_settings))
        ]
        for copy in started:
            copy.wait_ready()
        yield World(films, catalog_address, f"http://127.0.0.1:{marking_settings['WATCH_PORT']}")


def entitled_person(
    http: httpx.Client, admin: Person, choice: random.Random, genres: dict[str, int]
) -> tuple[Person, frozenset[int]]:
    """Somebody with subscriptions to some random packages, one of which may be cancelled, and what is left."""
    person = register(http)
    entitled: frozenset[int] = frozenset()
    for number in range(choice.randint(0, 3)):
        ids = sorted(genres[name] for name in choice.sample(NAMES, choice.randint(1, 3)))
        package = admin.post("/v1/packages", {"name": unique("Package"), "genreIds": ids}).json()
        subscription = person.post("/v1/subscriptions", {"packageId": package["id"]})
        assert subscription.status_code == 201, subscription.text
        if number == 2:
            assert person.delete(f"/v1/subscriptions/{subscription.json()['id']}").status_code == 204
        else:
            entitled |= frozenset(ids)
    return person, entitled


@pytest.fixture
def direct() -> Iterator[httpx.Client]:
    """A connection to services themselves: those of the test are behind no gateway."""
    with httpx.Client(trust_env=False, timeout=30) as client:
        yield client


def answers_by_film(world: World, ask: Callable[[int], httpx.Response]) -> dict[int, int]:
    """The status of the answer about every film."""
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(ask, world.films)
        return {number: answer.status_code for number, answer in zip(world.films, answers, strict=True)}


@pytest.mark.timeout(300)
def test_list_single_and_mark_agree_with_the_oracle(  # noqa: PLR0913 - fixtures
    http: httpx.Client, direct: httpx.Client, admin: Person, genres: dict[str, int], world: World, match: str
) -> None:
    choice = random.Random(f"people of {match}")
    movies, watched = f"{world.catalog}/v1/movies", f"{world.watch}/v1/watched"
    stranger = register(http)

    def single(person: Person) -> dict[int, int]:
        return answers_by_film(world, lambda number: direct.get(f"{movies}/{number}", headers=person.headers))

    # Forbidden to somebody who may see nothing is what is held; anything else is unknown or cannot be looked up yet.
    until(lambda: set(single(stranger).values()) == {403}, CATALOG_SECONDS, "a filled catalog")
    for _ in range(PEOPLE):
        person, entitled = entitled_person(http, admin, choice, genres)
        wanted = {number for number, of in world.films.items() if is_permitted(of, entitled, match)}
        answer = direct.get(movies, params={"pageSize": "100"}, headers=person.headers)
        marks = answers_by_film(world, lambda n, who=person: direct.put(f"{watched}/{n}", headers=who.headers))
        history = direct.get(watched, params={"pageSize": "100"}, headers=person.headers).json()["data"]

        assert {row["id"] for row in answer.json()["data"]} == wanted, (match, entitled)
        assert answer.headers["x-total-count"] == str(len(wanted))
        assert single(person) == {number: 200 if number in wanted else 403 for number in world.films}
        assert marks == {number: 201 if number in wanted else 403 for number in world.films}
        assert {row["movie"]["id"] for row in history} == wanted
