"""Walks the whole mission through the gateway like a client, and fails loudly when an answer is wrong.

    python deploy/demo.py [--patient] [--quiet]

Environment: GATEWAY_URL (http://localhost:8080), MAIL_URL (http://localhost:8025), ADMIN_EMAIL and
ADMIN_PASSWORD (read from `.env` beside docker-compose.yml when they are not set).

`--patient` repeats a request that met 502, 503, 504 or a lost connection, as a careful client does: creations
carry an Idempotency-Key, so repeating them is safe. It is how the suite's fault tests use this script.
"""

import argparse
import os
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx

ACTION, ADVENTURE, COMEDY, SCIENCE_FICTION, WESTERN, DOCUMENTARY = 28, 12, 35, 878, 37, 99
_TRANSIENT = {502, 503, 504}
_PATIENCE_SECONDS = 90.0


class DemoError(Exception):
    """An answer was not what the contract says."""


def check(condition: object, message: str) -> None:
    """Fail with `message` unless `condition` holds."""
    if not condition:
        raise DemoError(message)


class Client:
    """One person's connection to the gateway; prints each request and a short form of its answer."""

    def __init__(self, http: httpx.Client, who: str, *, patient: bool, quiet: bool) -> None:
        self._http = http
        self._who = who
        self._patient = patient
        self._quiet = quiet
        self.tokens: dict[str, Any] = {}

    def call(  # noqa: PLR0913 - these are the parts of a request and of what is expected
        self,
        method: str,
        path: str,
        expected: int,
        *,
        json: Any = None,
        headers: dict[str, str] | None = None,
        repeated: Iterable[int] = (),
        code: str | None = None,
    ) -> httpx.Response:
        """Send a request and check its status, and the problem's `code` when one is expected.

        `repeated` are statuses that are right as well when the request had to be sent again, because the first
        may have taken effect although its answer was lost.
        """
        sent = dict(headers or {})
        if self.tokens:
            sent["Authorization"] = f"Bearer {self.tokens['accessToken']}"
        if method == "POST":
            sent["Idempotency-Key"] = str(uuid.uuid4())
        response, tries = self._send(method, path, json, sent)
        allowed = {expected, *(repeated if tries > 1 else ())}
        self._show(method, path, response)
        check(
            response.status_code in allowed,
            f"{method} {path}: expected {expected}, got {response.status_code}: {response.text[:500]}",
        )
        if code is not None and response.status_code == expected:
            problem = response.json()
            check(response.headers["content-type"] == "application/problem+json", f"{path}: no problem document")
            check(problem["code"] == code, f"{path}: expected the problem '{code}', got '{problem['code']}'")
        return response

    def _send(self, method: str, path: str, json: Any, headers: dict[str, str]) -> tuple[httpx.Response, int]:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        tries = 0
        while True:
            tries += 1
            try:
                response = self._http.request(method, path, json=json, headers=headers)
                if response.status_code not in _TRANSIENT or not self._patient or time.monotonic() > deadline:
                    return response, tries
                pause = float(response.headers.get("Retry-After", "1"))
            except httpx.TransportError as error:
                if not self._patient or time.monotonic() > deadline:
                    if isinstance(error, httpx.ConnectError):
                        raise DemoError(f"nothing answers at {self._http.base_url}: 'make up' starts it") from error
                    raise DemoError(f"{method} {path}: {type(error).__name__}: {error}") from error
                pause = 0.5
            time.sleep(min(pause, 2.0))

    def _show(self, method: str, path: str, response: httpx.Response) -> None:
        if self._quiet:
            return
        text = " ".join(response.text.split())
        print(f"  {self._who:>7}  {method} {path}", flush=True)  # noqa: T201 - printing is what this script is for
        print(f"           {response.status_code} {text[:150]}{'…' if len(text) > 150 else ''}", flush=True)  # noqa: T201

    def until(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Ask again until `condition` holds; fail when it does not within `seconds`."""
        deadline = time.monotonic() + (seconds if not self._patient else max(seconds, _PATIENCE_SECONDS))
        while not condition():
            check(time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s")
            time.sleep(0.2)

    def log_in(self, email: str, password: str) -> None:
        self.tokens = {}
        self.tokens = self.call("POST", "/v1/auth/login", 200, json={"email": email, "password": password}).json()


class Demo:
    """The mission, one step after another."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._http = httpx.Client(
            base_url=os.environ.get("GATEWAY_URL", "http://localhost:8080"), timeout=30, trust_env=False
        )
        self._mail = httpx.Client(
            base_url=os.environ.get("MAIL_URL", "http://localhost:8025"), timeout=10, trust_env=False
        )
        self._run = secrets.token_hex(3)
        self.admin = self._client("admin")
        self.ana = self._client("ana")
        self.bruno = self._client("bruno")
        self.ana_email = f"ana.{self._run}@example.com"
        self.bruno_email = f"bruno.{self._run}@example.com"
        self._packages: dict[str, dict[str, Any]] = {}
        self._users: dict[str, str] = {}

    def _client(self, who: str) -> Client:
        return Client(self._http, who, patient=self._arguments.patient, quiet=self._arguments.quiet)

    def run(self) -> None:
        """All steps. Raises `DemoError` at the first wrong answer."""
        for step in (
            self.the_administrator_logs_in,
            self.the_catalog_fills_from_tmdb,
            self.the_administrator_makes_packages,
            self.two_people_register,
            self.bruno_recovers_his_password,
            self.nobody_sees_a_movie_without_a_subscription,
            self.they_subscribe,
            self.ana_lists_her_movies_page_by_page,
            self.other_genres_stay_closed,
            self.ana_marks_what_she_has_watched,
            self.reports_say_who_watched_what,
            self.a_package_changes_and_subscribers_keep_what_they_have,
            self.cancelling_takes_the_movies_away,
            self.they_log_out,
        ):
            print(f"\n■ {step.__name__.replace('_', ' ').capitalize()}", flush=True)  # noqa: T201
            step()

    def the_administrator_logs_in(self) -> None:
        email, password = _administrator()
        self.admin.log_in(email, password)
        me = self.admin.call("GET", "/v1/users/me", 200).json()
        check(me["role"] == "admin", "the first administrator is no administrator")
        self.ana.call("GET", "/v1/genres", 401, code="unauthenticated")

    def the_catalog_fills_from_tmdb(self) -> None:
        def filled() -> bool:
            genres = self.admin.call("GET", "/v1/genres?pageSize=100&sort=id", 200).json()
            wanted = {ACTION, ADVENTURE, SCIENCE_FICTION, WESTERN, DOCUMENTARY}
            return wanted <= {genre["id"] for genre in genres["data"] if genre["movieCount"] > 0}

        self.admin.until("genres and movies from TMDB", filled, 120)
        self.admin.call("GET", "/v1/sync", 200)

    def the_administrator_makes_packages(self) -> None:
        for name, genres in (
            ("Thrills", [ACTION, ADVENTURE]),
            ("Far away", [ADVENTURE, SCIENCE_FICTION]),
            ("True and dusty", [WESTERN, DOCUMENTARY]),
        ):
            response = self.admin.call(
                "POST",
                "/v1/packages",
                201,
                json={"name": f"{name} {self._run}", "description": "Made by the demo", "genreIds": genres},
            )
            package = response.json()
            check(package["version"] == 1, "a new package has version 1")
            check({g["id"] for g in package["genres"]} == set(genres), "the package has the genres it was made with")
            check(response.headers["location"] == f"/v1/packages/{package['id']}", "Location names the package")
            self._packages[name] = package
        self.admin.call(
            "POST",
            "/v1/packages",
            409,
            code="package-name-taken",
            json={"name": f" THRILLS {self._run} ", "genreIds": [ACTION]},
        )
        self.admin.call(
            "POST", "/v1/packages", 422, code="unknown-genre", json={"name": f"Odd {self._run}", "genreIds": [424242]}
        )

    def two_people_register(self) -> None:
        for client, email, name in ((self.ana, self.ana_email, "Ana"), (self.bruno, self.bruno_email, "Bruno")):
            person = {"email": email, "password": f"first password of {self._run}", "name": name}
            user = client.call("POST", "/v1/users", 201, json=person).json()
            self._users[name] = user["id"]
            check("password" not in user, "a password never comes back")
        self.ana.call(
            "POST",
            "/v1/users",
            409,
            code="email-taken",
            json={"email": self.ana_email.upper(), "password": f"another password {self._run}", "name": "Ana"},
        )
        self.ana.log_in(self.ana_email, f"first password of {self._run}")
        self.ana.call("POST", "/v1/packages", 403, code="forbidden", json={"name": "Mine", "genreIds": [ACTION]})
        fresh = self.ana.call(
            "POST", "/v1/auth/refresh", 200, json={"refreshToken": self.ana.tokens["refreshToken"]}, repeated=(401, 409)
        )
        if fresh.status_code == 200:
            self.ana.tokens = fresh.json()
        else:
            self.ana.log_in(self.ana_email, f"first password of {self._run}")

    def bruno_recovers_his_password(self) -> None:
        self.bruno.call("POST", "/v1/auth/password/forgot", 202, json={"email": self.bruno_email})
        token = self._reset_token(self.bruno_email)
        new = f"second password of {self._run}"
        self.bruno.call(
            "POST",
            "/v1/auth/password/reset",
            204,
            json={"token": token, "newPassword": new},
            repeated=(400,),
        )
        self.bruno.call(
            "POST",
            "/v1/auth/password/reset",
            400,
            code="invalid-reset-token",
            json={"token": token, "newPassword": new},
        )
        self.bruno.call(
            "POST",
            "/v1/auth/login",
            401,
            code="invalid-credentials",
            json={"email": self.bruno_email, "password": f"first password of {self._run}"},
        )
        self.bruno.log_in(self.bruno_email, new)

    def _reset_token(self, email: str) -> str:
        found: list[str] = []

        def arrived() -> bool:
            try:
                messages = self._mail.get("/api/v1/messages").json()["messages"]
                mine = [m["ID"] for m in messages if any(to["Address"] == email for to in m["To"])]
                if mine:
                    text = self._mail.get(f"/api/v1/message/{mine[0]}").json()["Text"]
                    found.extend(part.split("#token=")[1] for part in text.split() if "#token=" in part)
            except (httpx.TransportError, KeyError):
                return False
            return bool(found)

        self.bruno.until("the recovery mail", arrived, 20)
        print("     mail  a link with a token that works once and expires", flush=True)  # noqa: T201
        return found[0]

    def nobody_sees_a_movie_without_a_subscription(self) -> None:
        for query in ("", f"?genreIds={ACTION}", "?title=the"):
            page = self.ana.call("GET", f"/v1/movies{query}", 200).json()
            check(page["data"] == [] and page["pagination"]["totalPages"] == 0, "a movie without any subscription")

    def they_subscribe(self) -> None:
        self._subscriptions: dict[str, str] = {}
        for name in ("Thrills", "Far away"):
            subscription = self.ana.call(
                "POST", "/v1/subscriptions", 201, json={"packageId": self._packages[name]["id"]}
            ).json()
            self._subscriptions[name] = subscription["id"]
        self.ana.call(
            "POST",
            "/v1/subscriptions",
            409,
            code="already-subscribed",
            json={"packageId": self._packages["Thrills"]["id"]},
        )
        dusty = self._packages["True and dusty"]["id"]
        bulk = self.admin.call(
            "POST", f"/v1/packages/{dusty}/subscriptions", 200, json={"userIds": [self._users["Bruno"]]}
        ).json()
        check(bulk == {"created": 1, "alreadySubscribed": 0}, f"one subscription made, got {bulk}")
        entitled = self.ana.call("GET", "/v1/entitlements/me", 200).json()
        check(
            {genre["id"] for genre in entitled["genres"]} == {ACTION, ADVENTURE, SCIENCE_FICTION},
            "entitlements are the union of the packages' genres",
        )

    def ana_lists_her_movies_page_by_page(self) -> None:
        allowed = {ACTION, ADVENTURE, SCIENCE_FICTION}
        seen: list[int] = []
        number = 1
        while True:
            response = self.ana.call("GET", f"/v1/movies?pageNumber={number}&pageSize=50", 200)
            page = response.json()
            check(
                all(allowed & {genre["id"] for genre in movie["genres"]} for movie in page["data"]),
                "a movie outside the permitted genres",
            )
            seen += [movie["id"] for movie in page["data"]]
            total = int(response.headers["X-Total-Count"])
            check(page["pagination"]["totalPages"] == -(-total // 50), "totalPages and X-Total-Count disagree")
            if page["pagination"]["lastPage"] or number == 10:
                break
            number += 1
        check(len(seen) == len(set(seen)) == min(total, 500), "a movie twice, or one missing")
        self.movies = self.ana.call(
            "GET", f"/v1/movies?genreIds={ACTION},{SCIENCE_FICTION}&genresMode=all&sort=-voteAverage&pageSize=5", 200
        ).json()["data"]
        check(len(self.movies) >= 3, "fewer than three science-fiction action films")

    def other_genres_stay_closed(self) -> None:
        page = self.ana.call("GET", f"/v1/movies?genreIds={WESTERN}", 200).json()
        check(page["data"] == [], "a filter by a forbidden genre showed something")
        theirs: list[dict[str, Any]] = []

        def bruno_sees_movies() -> bool:
            theirs[:] = self.bruno.call("GET", "/v1/movies?pageSize=100", 200).json()["data"]
            return bool(theirs)

        self.bruno.until("Bruno's movies", bruno_sees_movies, 5)
        forbidden = next(
            movie["id"]
            for movie in theirs
            if not {ACTION, ADVENTURE, SCIENCE_FICTION} & {genre["id"] for genre in movie["genres"]}
        )
        self.ana.call("GET", f"/v1/movies/{forbidden}", 403, code="movie-not-in-your-genres")
        self.ana.call("PUT", f"/v1/watched/{forbidden}", 403, code="movie-not-in-your-genres")
        self.ana.call("GET", "/v1/movies/2147483647", 404)
        self.ana.call("GET", f"/v1/movies?genreId={ACTION}", 422, code="invalid-request")

    def ana_marks_what_she_has_watched(self) -> None:
        first, second, third = (movie["id"] for movie in self.movies[:3])
        self.ana.call("PUT", f"/v1/watched/{first}", 201, json={"watchedAt": "2026-01-10T20:00:00Z"}, repeated=(200,))
        self.ana.call("PUT", f"/v1/watched/{second}", 201, json={"watchedAt": "2026-02-10T20:00:00Z"}, repeated=(200,))
        self.ana.call("PUT", f"/v1/watched/{third}", 201, repeated=(200,))
        again = self.ana.call("PUT", f"/v1/watched/{first}", 200).json()
        check(again["watchedAt"].startswith("2026-01-10T20:00:00"), "marking again moved the time")
        self.ana.call("DELETE", f"/v1/watched/{third}", 204)
        self.ana.call("DELETE", f"/v1/watched/{third}", 204)
        history = self.ana.call("GET", "/v1/watched", 200).json()
        check([item["movie"]["id"] for item in history["data"]] == [second, first], "the history is newest first")
        self.bruno.call("GET", f"/v1/watched/{first}", 404)

    def reports_say_who_watched_what(self) -> None:
        report = self.ana.call("GET", "/v1/reports/me", 200).json()
        check(report["totalFilmsWatched"] == 2, "two films were watched")
        check(report["mostWatchedTheme"]["totalFilmsWatched"] == 2, "both films share their genres")
        check(report["lastFilmWatched"]["movieId"] == self.movies[1]["id"], "the last film is the one watched last")
        empty = self.bruno.call("GET", "/v1/reports/me", 200).json()
        check(
            (empty["totalFilmsWatched"], empty["mostWatchedTheme"], empty["lastFilmWatched"]) == (0, None, None),
            "a report without films has zeros and nulls",
        )
        self.bruno.call("GET", f"/v1/reports/users/{self._users['Ana']}", 403, code="forbidden")
        self.bruno.call("GET", "/v1/reports/users", 403, code="forbidden")
        seen = self.admin.call("GET", f"/v1/reports/users?userIds={self._users['Ana']}", 200).json()
        check(seen["data"] == [report], "the administrator sees the same report")

    def a_package_changes_and_subscribers_keep_what_they_have(self) -> None:
        package = self._packages["Thrills"]["id"]
        etag = self.admin.call("GET", f"/v1/packages/{package}", 200).headers["etag"]
        change = {"genreIds": [ACTION, COMEDY]}
        self.admin.call("PATCH", f"/v1/packages/{package}", 428, json=change, code="precondition-required")
        preview = self.admin.call(
            "PATCH", f"/v1/packages/{package}?dryRun=true", 200, json=change, headers={"If-Match": etag}
        ).json()
        check(preview["version"] == 2 and preview["subscribersKept"] == 1, f"the preview is wrong: {preview}")
        self.admin.call(
            "PATCH", f"/v1/packages/{package}", 200, json=change, headers={"If-Match": etag}, repeated=(412,)
        )
        self.admin.call(
            "PATCH", f"/v1/packages/{package}", 412, json=change, headers={"If-Match": etag}, code="precondition-failed"
        )
        versions = self.admin.call("GET", f"/v1/packages/{package}/versions", 200).json()["data"]
        check([version["version"] for version in versions] == [2, 1], "both versions are kept, newest first")
        entitled = self.ana.call("GET", "/v1/entitlements/me", 200).json()
        check(COMEDY not in {genre["id"] for genre in entitled["genres"]}, "an edit changed a subscriber's genres")
        etag = self.admin.call("GET", f"/v1/packages/{package}", 200).headers["etag"]
        self.admin.call("DELETE", f"/v1/packages/{package}", 204, headers={"If-Match": etag}, repeated=(412,))
        self.bruno.call("POST", "/v1/subscriptions", 409, code="package-archived", json={"packageId": package})

    def cancelling_takes_the_movies_away(self) -> None:
        first = self.movies[0]["id"]
        for name in ("Thrills", "Far away"):
            self.ana.call("DELETE", f"/v1/subscriptions/{self._subscriptions[name]}", 204)

        def gone() -> bool:
            # Several times, because each of catalog-service's replicas hears of it by itself.
            pages = [self.ana.call("GET", "/v1/movies", 200).json()["data"] for _ in range(4)]
            return not any(pages)

        self.ana.until("the movies go", gone, 2)
        self.ana.call("GET", f"/v1/movies/{first}", 403, code="movie-not-in-your-genres")
        self.ana.call("DELETE", f"/v1/watched/{first}", 204)
        report = self.ana.call("GET", "/v1/reports/me", 200).json()
        check(report["totalFilmsWatched"] == 1, "what was watched stays in the report")

    def they_log_out(self) -> None:
        for client in (self.ana, self.bruno):
            client.call("POST", "/v1/auth/logout", 204, repeated=(401,))
        self.ana.until("the token dies", self._ana_is_out, 2)

    def _ana_is_out(self) -> bool:
        token = {"Authorization": f"Bearer {self.ana.tokens['accessToken']}"}
        try:
            return self._http.get("/v1/users/me", headers=token).status_code == 401
        except httpx.TransportError:
            return False


def _administrator() -> tuple[str, str]:
    """The first administrator's e-mail and password, from the environment or `.env`."""
    settings = dict(os.environ)
    file = Path(__file__).parents[1] / ".env"
    if "ADMIN_PASSWORD" not in settings and file.is_file():
        pairs = (
            line.split("=", 1) for line in file.read_text().splitlines() if "=" in line and not line.startswith("#")
        )
        settings.update({name.strip(): value.strip().strip("'\"") for name, value in pairs})
    check(
        "ADMIN_PASSWORD" in settings, "ADMIN_EMAIL and ADMIN_PASSWORD are not set and there is no .env: run 'make up'"
    )
    return settings["ADMIN_EMAIL"], settings["ADMIN_PASSWORD"]


def main() -> int:
    """Run the demo; 0 when every answer was right."""
    parser = argparse.ArgumentParser(description="Walk the whole mission through the gateway.")
    parser.add_argument("--patient", action="store_true", help="repeat requests that meet an outage")
    parser.add_argument("--quiet", action="store_true", help="print the steps only")
    started = time.monotonic()
    try:
        Demo(parser.parse_args()).run()
    except (DemoError, httpx.HTTPError) as error:
        print(f"\n✘ {error}", file=sys.stderr, flush=True)  # noqa: T201
        return 1
    print(f"\n✔ Every answer was what the contract says ({time.monotonic() - started:.1f} s).", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
