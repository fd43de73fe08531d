# ruff: noqa: S311 - what people happen to do is no secret
"""Who uses the suite, and what they do. Every answer is checked; one that is not as agreed counts as a failure."""

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gevent.lock import BoundedSemaphore
from locust import FastHttpUser, between, task
from locust.exception import StopUser

# An access token lives for 10 minutes.
_TOKEN_USED_SECONDS = 400.0
# A registration and a login cost half a second of a core: a crowd at the door would only measure bcrypt.
_DOOR = BoundedSemaphore(2)
_PASSWORD = secrets.token_urlsafe(16)
Decorated = TypeVar("Decorated", bound=Callable[..., object])


@dataclass(slots=True)
class World:
    """What everybody knows: the administrator, packages on offer, genres that have movies; and who has arrived."""

    admin_email: str = ""
    admin_password: str = ""
    packages: list[str] = field(default_factory=list)
    genres: list[int] = field(default_factory=list)
    arrived: int = 0


WORLD = World()


def often(weight: int) -> Callable[[Decorated], Decorated]:
    """A task, done `weight` times as often as one of weight 1 (typed, which Locust's own decorator is not)."""
    decorator: Callable[[Decorated], Decorated] = task(weight)
    return decorator


class Person(FastHttpUser):  # type: ignore[misc] # Locust publishes no types for it
    """Somebody with an account, logged in, who pauses between two requests."""

    abstract = True
    wait_time = between(0.2, 1.0)
    connection_timeout = network_timeout = 30.0
    email = password = ""

    def on_start(self) -> None:
        with _DOOR:
            self.arrive()
        WORLD.arrived += 1

    def arrive(self) -> None:
        self.email, self.password = f"{secrets.token_hex(8)}@example.com", _PASSWORD
        self.call("POST", "/v1/users", 201, json={"email": self.email, "password": self.password, "name": "Somebody"})
        self.log_in()

    def log_in(self) -> None:
        answer = self.call("POST", "/v1/auth/login", 200, json={"email": self.email, "password": self.password})
        if answer is None:
            raise StopUser
        self.tokens: dict[str, Any] = answer.json()
        self.logged_in_at = time.monotonic()

    def call(
        self,
        method: str,
        path: str,
        *expected: int,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> Any:
        """One request, counted under `name` (default: the path without its query); None when it failed."""
        own = dict(headers or {})
        if path not in ("/v1/users", "/v1/auth/login") or method == "GET":
            if time.monotonic() - self.logged_in_at > _TOKEN_USED_SECONDS:
                self.log_in()
            own["Authorization"] = f"Bearer {self.tokens['accessToken']}"
        counted = f"{method} {name or path.partition('?')[0]}"
        with self.client.request(method, path, json=json, headers=own, name=counted, catch_response=True) as answer:
            if answer.status_code in expected:
                answer.success()
                return answer
            answer.failure(f"{answer.status_code} instead of {expected}: {(answer.text or '')[:200]}")
            return None

    def subscribe(self, package: str) -> str | None:
        answer = self.call("POST", "/v1/subscriptions", 201, json={"packageId": package})
        return answer.json()["id"] if answer is not None else None


class Viewer(Person):
    """Somebody with a subscription, who knows some movies."""

    abstract = True

    def arrive(self) -> None:
        super().arrive()
        self.movies: Sequence[int] = ()
        self.subscribe(random.choice(WORLD.packages))
        self.look()

    def look(self, query: str = "") -> None:
        if (answer := self.call("GET", f"/v1/movies{query}", 200)) is not None:
            self.movies = [movie["id"] for movie in answer.json()["data"]] or self.movies


class Browser(Viewer):
    """Turns pages, filters and searches."""

    weight = 6

    @often(6)
    def turn_pages(self) -> None:
        self.look(f"?pageSize=20&pageNumber={min(int(random.expovariate(0.5)) + 1, 20)}")

    @often(3)
    def filter(self) -> None:
        query = random.choice(
            ("title=the", "minRating=7&sort=-voteAverage", "releasedFrom=2010-01-01", "sort=title", "language=en")
        )
        self.look(f"?{query}")

    @often(3)
    def read_one(self) -> None:
        if self.movies:
            self.call("GET", f"/v1/movies/{random.choice(self.movies)}", 200, name="/v1/movies/{id}")

    @often(1)
    def read_genres(self) -> None:
        self.call("GET", "/v1/genres?pageSize=100", 200)

    @often(1)
    def read_packages(self) -> None:
        self.call("GET", "/v1/packages", 200)


class Marker(Viewer):
    """Marks what they watch, and looks at their history."""

    weight = 3

    @often(5)
    def mark(self) -> None:
        if self.movies:
            self.call("PUT", f"/v1/watched/{random.choice(self.movies)}", 200, 201, name="/v1/watched/{movieId}")

    @often(1)
    def unmark(self) -> None:
        if self.movies:
            self.call("DELETE", f"/v1/watched/{random.choice(self.movies)}", 204, name="/v1/watched/{movieId}")

    @often(2)
    def read_history(self) -> None:
        self.call("GET", "/v1/watched", 200)

    @often(2)
    def read_report(self) -> None:
        self.call("GET", "/v1/reports/me", 200)

    @often(1)
    def find_more(self) -> None:
        self.look(f"?pageNumber={random.randint(1, 5)}")


class Subscriber(Person):
    """Comes and goes: subscribes, sees movies at once, cancels, and sees none at once."""

    weight = 2

    @often(1)
    def subscribe_and_cancel(self) -> None:
        package = random.choice(WORLD.packages)
        self.call("GET", f"/v1/packages/{package}", 200, name="/v1/packages/{id}")
        subscription = self.subscribe(package)
        if subscription is None:
            return
        self.call("GET", "/v1/entitlements/me", 200)
        answer = self.call("GET", "/v1/movies?pageSize=5", 200)
        if answer is not None and not answer.json()["data"]:
            self.note("movies are not seen at once after subscribing")
        self.call("DELETE", f"/v1/subscriptions/{subscription}", 204, name="/v1/subscriptions/{id}")
        self.call("GET", "/v1/subscriptions", 200)

    def note(self, failure: str) -> None:
        self.environment.events.request.fire(
            request_type="RULE", name=failure, response_time=0, response_length=0, exception=AssertionError(failure)
        )


class Visitor(Person):
    """Logs in, refreshes, looks at their account and logs out."""

    weight = 1
    wait_time = between(1.0, 3.0)

    @often(1)
    def visit(self) -> None:
        self.log_in()
        answer = self.call("POST", "/v1/auth/refresh", 200, json={"refreshToken": self.tokens["refreshToken"]})
        if answer is not None:
            self.tokens = answer.json()
        self.call("GET", "/v1/users/me", 200)
        self.call("GET", "/v1/auth/sessions", 200)
        self.call("POST", "/v1/auth/logout", 204)
        self.log_in()


class Administrator(Person):
    """The one administrator: keeps packages, looks at people and reports."""

    fixed_count = 1

    def arrive(self) -> None:
        self.email, self.password = WORLD.admin_email, WORLD.admin_password
        self.log_in()

    @often(2)
    def keep_packages(self) -> None:
        name = f"Load {secrets.token_hex(6)}"
        body = {"name": name, "genreIds": random.sample(WORLD.genres, 2)}
        made = self.call("POST", "/v1/packages", 201, json=body)
        if made is None:
            return
        path, counted = f"/v1/packages/{made.json()['id']}", "/v1/packages/{id}"
        tag = made.headers["etag"]
        edited = self.call("PATCH", path, 200, json={"description": "Edited"}, headers={"If-Match": tag}, name=counted)
        if edited is not None:
            self.call("DELETE", path, 204, headers={"If-Match": edited.headers["etag"]}, name=counted)

    @often(2)
    def read_reports(self) -> None:
        self.call("GET", "/v1/reports/users?pageSize=20", 200)

    @often(1)
    def read_people(self) -> None:
        self.call("GET", "/v1/users?pageSize=20", 200)

    @often(1)
    def read_sync(self) -> None:
        self.call("GET", "/v1/sync", 200)


PEOPLE = (Browser, Marker, Subscriber, Visitor, Administrator)
