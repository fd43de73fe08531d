"""People who use the suite while its processes are replaced; every answer must be the right one."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import httpx
from suite_client import Person, register, unique, until
from tests.upgrade.deployment import Deployment

_READS = ("/v1/packages", "/v1/genres", "/v1/movies?pageSize=5", "/v1/watched", "/v1/reports/me", "/v1/users/me")
_ROUND_SECONDS = 60


class Balancer(httpx.BaseTransport):
    """Sends each request to a gateway that says it is ready, as a balancer before the suite does."""

    def __init__(self, suite: Deployment, names: tuple[str, ...]) -> None:
        self._suite = suite
        self._ports = {name: suite.servers.rows[name].port for name in names}
        self._ready: list[str] = []
        self._inner = httpx.HTTPTransport()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            programs = self._suite.servers.programs
            self._ready = [name for name in self._ports if name in programs and programs[name].is_ready]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        name = random.choice(until(lambda: self._ready, 30, "a gateway"))
        request.url = request.url.copy_with(port=self._ports[name])
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._inner.close()


class Visitors:
    """A reader, a subscriber and the administrator, each in a thread, one round after another."""

    def __init__(self, admin: Person, genre_ids: list[int]) -> None:
        self._admin = admin
        self._genre_ids = genre_ids
        self._stop = threading.Event()
        self._packages = [self.make_package(unique("Package"), genre_ids[:2])["id"]]
        self._reader, self._subscriber = register(admin.http), register(admin.http)
        works = (self._read, self._subscribe, self._administer)
        self._threads = [threading.Thread(target=self._repeat, args=(work,), daemon=True) for work in works]
        self.rounds: Counter[str] = Counter({work.__name__: 0 for work in works})
        self.requests = 0
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_ROUND_SECONDS)

    def wait_rounds(self, count: int = 2) -> None:
        """Return when everybody has begun and finished a round since now."""
        before = self.rounds.copy()
        until(
            lambda: self.failed or all(self.rounds[name] >= number + count for name, number in before.items()),
            _ROUND_SECONDS,
            "rounds",
        )
        self.assert_good()

    def assert_good(self) -> None:
        """No request has failed."""
        assert not self.failed, f"{len(self.failed)} of {self.requests}: {self.failed[:5]}"

    def make_package(self, name: str, genre_ids: list[int]) -> dict[str, Any]:
        """A new package."""
        answer = self._admin.post("/v1/packages", {"name": name, "genreIds": genre_ids})
        assert answer.status_code == 201, answer.text
        package: dict[str, Any] = answer.json()
        return package

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._stop.wait(0.05):
            try:
                work()
            except (httpx.HTTPError, AssertionError, LookupError) as error:
                self.failed.append(f"{time.strftime('%X')} {work.__name__}: {type(error).__name__} {error}"[:600])
            self.rounds[work.__name__] += 1

    def _checked(self, answer: httpx.Response, *expected: int) -> httpx.Response:
        self.requests += 1
        request = answer.request
        assert answer.status_code in expected, f"{request.method} {request.url}: {answer.status_code} {answer.text}"
        return answer

    def _read(self) -> None:
        for path in _READS:
            self._checked(self._reader.get(path), 200)

    def _subscribe(self) -> None:
        """A grant is seen by the very next request, whatever versions answer the two."""
        person = self._subscriber
        made = self._checked(person.post("/v1/subscriptions", {"packageId": random.choice(self._packages)}), 201)
        movies = self._checked(person.get("/v1/movies?pageSize=5"), 200).json()["data"]
        assert movies, "subscribed, and sees no movie"
        self._checked(person.put(f"/v1/watched/{movies[0]['id']}"), 200, 201)
        assert self._checked(person.get("/v1/reports/me"), 200).json()["totalFilmsWatched"] == 1
        self._checked(person.delete(f"/v1/watched/{movies[0]['id']}"), 204)
        self._checked(person.delete(f"/v1/subscriptions/{made.json()['id']}"), 204)

    def _administer(self) -> None:
        """A package is found by its name and genres at once, and by its new name when it was changed."""
        name, renamed = unique("First"), unique("Second")
        genre_ids = random.sample(self._genre_ids, 2)
        made = self._checked(self._admin.post("/v1/packages", {"name": name, "genreIds": genre_ids}), 201)
        path = f"/v1/packages/{made.json()['id']}"
        assert self.found(f"name={name}&genreIds={genre_ids[0]}") == [name]
        match = {"If-Match": made.headers["etag"]}
        changed = self._checked(self._admin.patch(path, {"name": renamed}, headers=match), 200)
        assert self.found(f"name={name}") == [], "found by the name that it had"
        assert self.found(f"name={renamed}&genreIds={genre_ids[1]}") == [renamed]
        self._checked(self._admin.delete(path, headers={"If-Match": changed.headers["etag"]}), 204)
        assert self.found(f"name={renamed}") == [], "found although it is archived"

    def found(self, query: str) -> list[str]:
        """The names of the packages that a search finds."""
        answer = self._checked(self._admin.get(f"/v1/packages?{query}&status=active&pageSize=100&sort=name"), 200)
        names = [package["name"] for package in answer.json()["data"]]
        assert int(answer.headers["x-total-count"]) == len(names), f"{query}: the total is not that of the packages"
        return names
