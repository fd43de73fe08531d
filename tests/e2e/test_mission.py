"""The mission as a whole, and what must be true of it whoever asks."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from suite_client import PASSWORD, Person, assert_problem, environment, register, until

ROOT = Path(__file__).parents[2]
MakePackage = Callable[..., dict[str, Any]]


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The demo against the test stack."""
    settings = {
        **os.environ,
        "GATEWAY_URL": environment("STACK_GATEWAY_URL"),
        "MAIL_URL": environment("STACK_MAIL_API_URL"),
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "demo.py"), *arguments],
        env=settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.timeout(300)
def test_the_demo_walks_the_whole_mission() -> None:
    outcome = run_demo()
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr


def test_a_grant_is_seen_by_the_very_next_request(
    someone: Person, make_package: MakePackage, genres: dict[str, int]
) -> None:
    assert someone.get("/v1/movies").json()["data"] == []
    for name in ("Western", "Music", "History"):
        package = make_package(name)
        assert someone.post("/v1/subscriptions", {"packageId": package["id"]}).status_code == 201
        page = someone.get(f"/v1/movies?genreIds={genres[name]}").json()
        assert page["data"], name
        assert someone.put(f"/v1/watched/{page['data'][0]['id']}").status_code == 201


def test_a_second_grant_reaches_the_unfiltered_list(
    someone: Person, make_package: MakePackage, genres: dict[str, int]
) -> None:
    someone.post("/v1/subscriptions", {"packageId": make_package("Western")["id"]})
    before = int(someone.get("/v1/movies").headers["x-total-count"])
    someone.post("/v1/subscriptions", {"packageId": make_package("Documentary")["id"]})
    until(lambda: int(someone.get("/v1/movies").headers["x-total-count"]) > before, 2, "the new genre's movies")


def test_a_cancellation_closes_within_two_seconds(
    someone: Person, make_package: MakePackage, genres: dict[str, int]
) -> None:
    answer = someone.post("/v1/subscriptions", {"packageId": make_package("Western")["id"]})
    movie = someone.get("/v1/movies").json()["data"][0]["id"]
    assert someone.get(f"/v1/movies/{movie}").status_code == 200
    assert someone.delete(f"/v1/subscriptions/{answer.json()['id']}").status_code == 204
    # Several times, because each of catalog-service's replicas hears of it by itself.
    until(lambda: {someone.get(f"/v1/movies/{movie}").status_code for _ in range(4)} == {403}, 2, "the refusal")
    assert someone.get("/v1/movies").json()["data"] == []
    assert_problem(someone.put(f"/v1/watched/{movie}"), 403, "movie-not-in-your-genres")


def test_list_single_and_mark_agree_on_every_movie(
    someone: Person, someone_else: Person, make_package: MakePackage, genres: dict[str, int]
) -> None:
    for name in ("Comedy", "Western", "Documentary"):
        someone.post("/v1/subscriptions", {"packageId": make_package(name)["id"]})
    someone_else.post("/v1/subscriptions", {"packageId": make_package("Comedy")["id"]})
    for movie in someone.get("/v1/movies?pageSize=100&sort=title").json()["data"]:
        allowed = genres["Comedy"] in {genre["id"] for genre in movie["genres"]}
        assert someone_else.get(f"/v1/movies/{movie['id']}").status_code == (200 if allowed else 403)
        assert someone_else.put(f"/v1/watched/{movie['id']}").status_code == (201 if allowed else 403)


def test_the_pages_of_a_list_hold_every_movie_once(
    someone: Person, make_package: MakePackage, genres: dict[str, int]
) -> None:
    someone.post("/v1/subscriptions", {"packageId": make_package("Comedy", "Western")["id"]})
    seen: list[int] = []
    path: str | None = "/v1/movies?sort=-releaseDate&pageSize=13"
    while path:
        answer = someone.get(path)
        seen += [movie["id"] for movie in answer.json()["data"]]
        path = answer.links.get("next", {}).get("url")
    assert len(seen) == len(set(seen)) == int(answer.headers["x-total-count"])


def test_ended_sessions_are_refused_everywhere_within_two_seconds(http: httpx.Client) -> None:
    person = register(http)
    assert person.get("/v1/users/me").status_code == 200
    assert person.post("/v1/auth/logout").status_code == 204
    for path in ("/v1/users/me", "/v1/packages", "/v1/genres", "/v1/watched"):
        until(lambda p=path: person.get(p).status_code == 401, 2, "the refusal")
    assert_problem(http.post("/v1/auth/refresh", json={"refreshToken": person.tokens["refreshToken"]}), 401)


def test_a_disabled_user_is_out_within_two_seconds(admin: Person, someone: Person) -> None:
    assert admin.patch(f"/v1/users/{someone.id}", {"status": "disabled"}).status_code == 200
    until(lambda: someone.get("/v1/genres").status_code == 401, 2, "the refusal")
    assert_problem(
        someone.http.post("/v1/auth/login", json={"email": someone.email, "password": PASSWORD}),
        401,
        "invalid-credentials",
    )


def test_a_deleted_user_disappears_everywhere(
    http: httpx.Client, admin: Person, make_package: MakePackage, genres: dict[str, int]
) -> None:
    person = register(http)
    person.post("/v1/subscriptions", {"packageId": make_package("Western")["id"]})
    movie = person.get("/v1/movies").json()["data"][0]["id"]
    assert person.put(f"/v1/watched/{movie}").status_code == 201
    assert admin.get(f"/v1/reports/users/{person.id}").json()["totalFilmsWatched"] == 1
    assert person.delete("/v1/users/me").status_code == 204
    until(lambda: person.get("/v1/genres").status_code == 401, 2, "the refusal of the token")
    until(
        lambda: admin.get(f"/v1/reports/users/{person.id}").json()["totalFilmsWatched"] == 0, 10, "the erased history"
    )
    until(
        lambda: admin.get(f"/v1/subscriptions?userId={person.id}&status=active").json()["data"] == [],
        10,
        "the ended subscriptions",
    )
    assert admin.get(f"/v1/users?ids={person.id}").json()["data"] == []
    assert admin.get(f"/v1/reports/users?userIds={person.id}").json()["data"] == []
    again = http.post("/v1/users", json={"email": person.email, "password": PASSWORD, "name": "Again"})
    assert again.status_code == 201
    assert again.json()["id"] != person.id


def test_fifty_marks_at_once_are_one(someone: Person, make_package: MakePackage) -> None:
    from concurrent.futures import ThreadPoolExecutor

    someone.post("/v1/subscriptions", {"packageId": make_package("Western")["id"]})
    movie = someone.get("/v1/movies").json()["data"][0]["id"]
    with ThreadPoolExecutor(25) as pool:
        statuses = list(pool.map(lambda _: someone.put(f"/v1/watched/{movie}").status_code, range(50)))
    assert sorted(statuses) == [200] * 49 + [201]
    assert someone.get("/v1/reports/me").json()["totalFilmsWatched"] == 1


def test_the_request_id_goes_with_the_answer(someone: Person) -> None:
    answer = someone.get("/v1/genres", headers={"X-Request-Id": "trace-me-42"})
    assert answer.headers["x-request-id"] == "trace-me-42"
    refused = someone.get("/v1/nothing", headers={"X-Request-Id": "trace-me-43"})
    assert refused.json()["requestId"] == "trace-me-43"


def test_an_idempotency_key_makes_a_repetition_harmless(admin: Person, genres: dict[str, int]) -> None:
    key = {"Idempotency-Key": f"key-{time.time_ns()}"}
    body = {"name": f"Once {time.time_ns()}", "genreIds": [genres["Western"]]}
    first = admin.post("/v1/packages", body, headers=key)
    again = admin.post("/v1/packages", body, headers=key)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = admin.post("/v1/packages", {**body, "name": "Other"}, headers=key)
    assert_problem(other, 422, "idempotency-key-reused")
