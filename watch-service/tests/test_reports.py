"""Reports: exact shape, ties, periods, and who may see whose."""

from typing import Any

import pytest

from chassis.ids import new_id
from chassis.testing.http import assert_problem


async def _report(who: Any, path: str = "/v1/reports/me", **params: Any) -> Any:
    answer = await who.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_without_films_it_is_zero_null_null(alice: Any) -> None:
    assert await _report(alice) == {
        "userId": str(alice.id),
        "totalFilmsWatched": 0,
        "mostWatchedTheme": None,
        "lastFilmWatched": None,
    }


async def test_the_shape_is_the_contracts(catalog: Any, alice: Any) -> None:
    catalog.add(603, "The Matrix", (28, 878))
    catalog.add(604, "The Matrix Reloaded", (28,))
    await alice.mark(604, "2020-01-01T00:00:00Z")
    await alice.mark(603, "2020-01-02T00:00:00Z")
    assert await _report(alice) == {
        "userId": str(alice.id),
        "totalFilmsWatched": 2,
        "mostWatchedTheme": {"themeId": 28, "themeName": "Action", "totalFilmsWatched": 2},
        "lastFilmWatched": {"movieId": 603, "movieName": "The Matrix"},
    }


async def test_a_film_without_genres_counts_but_makes_no_theme(catalog: Any, alice: Any) -> None:
    catalog.add(7, "Nothing", ())
    await alice.mark(7)
    report = await _report(alice)
    assert (report["totalFilmsWatched"], report["mostWatchedTheme"]) == (1, None)
    assert report["lastFilmWatched"] == {"movieId": 7, "movieName": "Nothing"}


async def test_a_tie_goes_to_the_theme_watched_most_recently_then_to_the_lower_id(catalog: Any, alice: Any) -> None:
    catalog.add(1, genre_ids=(28,))
    catalog.add(2, genre_ids=(35,))
    await alice.mark(1, "2020-01-02T00:00:00Z")
    await alice.mark(2, "2020-01-01T00:00:00Z")
    assert (await _report(alice))["mostWatchedTheme"]["themeId"] == 28
    await alice.mark(2, "2020-01-03T00:00:00Z")
    assert (await _report(alice))["mostWatchedTheme"]["themeId"] == 35
    await alice.mark(1, "2020-01-03T00:00:00Z")
    assert (await _report(alice))["mostWatchedTheme"]["themeId"] == 28


async def test_the_last_film_is_the_latest_watched_then_the_latest_marked(catalog: Any, alice: Any) -> None:
    for movie_id in (5, 4, 3):
        catalog.add(movie_id)
    await alice.mark(5, "2020-01-01T00:00:00Z")
    await alice.mark(4, "2020-01-01T00:00:00Z")
    await alice.mark(3, "2019-01-01T00:00:00Z")
    assert (await _report(alice))["lastFilmWatched"]["movieId"] == 4
    await alice.unmark(4)
    assert (await _report(alice))["lastFilmWatched"]["movieId"] == 5


async def test_a_period_is_half_open_and_about_the_time_of_watching(catalog: Any, alice: Any) -> None:
    for day in (1, 2, 3):
        catalog.add(day)
        await alice.mark(day, f"2020-01-0{day}T00:00:00Z")
    report = await _report(alice, **{"from": "2020-01-01T00:00:00Z", "to": "2020-01-03T00:00:00Z"})
    assert report["totalFilmsWatched"] == 2
    assert report["lastFilmWatched"]["movieId"] == 2
    assert (await _report(alice, to="2020-01-01T00:00:00Z"))["totalFilmsWatched"] == 0
    assert (await _report(alice, **{"from": "2020-01-03T00:00:00Z"}))["totalFilmsWatched"] == 1


async def test_what_was_watched_stays_when_access_is_lost(catalog: Any, alice: Any) -> None:
    catalog.add(603)
    await alice.mark(603)
    catalog.hidden.add(603)
    assert (await _report(alice))["totalFilmsWatched"] == 1
    assert (await alice.unmark(603)).status_code == 204
    assert (await _report(alice))["totalFilmsWatched"] == 0


async def test_a_report_is_for_oneself_and_for_administrators(catalog: Any, person: Any, admin: Any) -> None:
    one, other = person(), person()
    catalog.add(603)
    await one.mark(603)
    path = f"/v1/reports/users/{one.id}"
    assert (await _report(one, path))["totalFilmsWatched"] == 1
    assert (await _report(admin, path))["totalFilmsWatched"] == 1
    assert_problem(await other.get(path), 403, "forbidden")
    assert_problem(await other.get(f"/v1/reports/users/{new_id()}"), 403, "forbidden")
    assert_problem(await other.get("/v1/reports/users"), 403, "forbidden")


async def test_an_id_without_history_reports_zeros(admin: Any) -> None:
    unknown = new_id()
    report = await _report(admin, f"/v1/reports/users/{unknown}")
    assert (report["userId"], report["totalFilmsWatched"]) == (str(unknown), 0)


@pytest.mark.parametrize("user_id", ["me2", "1", "0190A5A0-7B3C-7C3E-8F3A-5B1F0C9D2E11"])
async def test_an_id_that_no_user_can_have_is_refused(admin: Any, user_id: str) -> None:
    assert_problem(await admin.get(f"/v1/reports/users/{user_id}"), 422, "invalid-request")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/reports/me?from=yesterday",
        "/v1/reports/me?since=2020-01-01T00:00:00Z",
        "/v1/reports/users?minFilms=-1",
        "/v1/reports/users?minFilms=many",
        "/v1/reports/users?userIds=1",
        "/v1/reports/users?from=2020-01-01T00:00:00Z",
        "/v1/reports/users?pageSize=0",
    ],
)
async def test_a_query_that_is_not_understood_is_refused(admin: Any, path: str) -> None:
    assert_problem(await admin.get(path), 422, "invalid-request")


async def test_administrators_page_through_users_with_history_by_id(catalog: Any, person: Any, admin: Any) -> None:
    for movie_id in (1, 2):
        catalog.add(movie_id)
    people = sorted((person() for _ in range(5)), key=lambda p: str(p.id))
    for number, one in enumerate(people):
        for movie_id in (1, 2)[: number % 3]:
            await one.mark(movie_id)
    mine = ",".join(str(one.id) for one in people)
    with_history = [str(one.id) for number, one in enumerate(people) if number % 3]
    listed = await _report(admin, "/v1/reports/users", userIds=mine)
    assert [report["userId"] for report in listed["data"]] == with_history
    assert listed["data"][0] == await _report(admin, f"/v1/reports/users/{with_history[0]}")
    second = await _report(admin, "/v1/reports/users", userIds=mine, pageSize=2, pageNumber=2)
    assert [report["userId"] for report in second["data"]] == with_history[2:]
    assert second["pagination"]["totalPages"] == 2
    many = await _report(admin, "/v1/reports/users", userIds=mine, minFilms=2)
    assert [report["totalFilmsWatched"] for report in many["data"]] == [2]
    await people[1].unmark(1)
    listed = await _report(admin, "/v1/reports/users", userIds=mine)
    assert [report["userId"] for report in listed["data"]] == with_history[1:]
