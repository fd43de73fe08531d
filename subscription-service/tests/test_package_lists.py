"""Lists of packages and of their versions."""

from typing import Any

import pytest

from chassis.ids import new_id
from chassis.testing.http import assert_problem


async def names(caller: Any, query: str) -> list[str]:
    answer = await caller("GET", f"/v1/packages?{query}")
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["data"]]


async def test_nothing_found_is_an_empty_list(user: Any) -> None:
    answer = await user("GET", f"/v1/packages?name={new_id()}")
    assert answer.json() == {
        "data": [],
        "pagination": {"pageNumber": 1, "pageSize": 10, "totalPages": 0, "lastPage": True, "firstPage": True},
    }
    assert answer.headers["x-total-count"] == "0"


async def test_pages_cover_every_package_once_in_both_orders(api: Any, user: Any) -> None:
    stem = str(new_id())
    for letter in "bADce":
        await api.new_package(name=f"{letter} {stem}")
    expected = [f"{letter} {stem}" for letter in "AbcDe"]
    found: list[str] = []
    for number in (1, 2, 3):
        answer = await user("GET", f"/v1/packages?name={stem}&pageSize=2&pageNumber={number}")
        assert answer.json()["pagination"]["totalPages"] == 3
        assert answer.headers["x-total-count"] == "5"
        found += [item["name"] for item in answer.json()["data"]]
    assert found == expected
    assert await names(user, f"name={stem}&sort=-name") == expected[::-1]
    assert await names(user, f"name={stem}&sort=createdAt") == [f"{letter} {stem}" for letter in "bADce"]
    assert await names(user, f"name={stem}&sort=-createdAt") == [f"{letter} {stem}" for letter in "ecDAb"]
    beyond = (await user("GET", f"/v1/packages?name={stem}&pageSize=2&pageNumber=9")).json()
    assert (beyond["data"], beyond["pagination"]["lastPage"], beyond["pagination"]["firstPage"]) == ([], True, False)


async def test_the_most_recently_changed_comes_first(api: Any, user: Any) -> None:
    stem = str(new_id())
    first = (await api.new_package(name=f"first {stem}")).json()
    await api.new_package(name=f"second {stem}")
    await api.edit(first["id"], {"description": "changed"})
    assert await names(user, f"name={stem}&sort=-updatedAt") == [f"first {stem}", f"second {stem}"]
    assert await names(user, f"name={stem}&sort=updatedAt") == [f"second {stem}", f"first {stem}"]


async def test_a_name_is_found_anywhere_without_regard_to_case_or_accents(api: Any, user: Any) -> None:
    stem = new_id().hex[:12]
    await api.new_package(name=f"Les Étés {stem} 100%_|x")
    for part in (f"ÉTÉS {stem}", f"etes {stem.upper()}", f"e\u0301te\u0301s {stem}", f"{stem} 100%25_|"):
        assert await names(user, f"name={part}") == [f"Les Étés {stem} 100%_|x"], part
    for part in (f"{stem}_100", f"Les%25{stem}", f"{stem}|"):
        assert await names(user, f"name={part}") == [], part


async def test_genres_are_looked_for_in_the_newest_version(api: Any, user: Any) -> None:
    stem = str(new_id())
    package = (await api.new_package(28, 35, name=f"a {stem}")).json()
    await api.new_package(18, name=f"b {stem}")
    assert await names(user, f"name={stem}&genreIds=35") == [f"a {stem}"]
    assert await names(user, f"name={stem}&genreIds=35&genreIds=18") == [f"a {stem}", f"b {stem}"]
    assert await names(user, f"name={stem}&genreIds=35,18") == [f"a {stem}", f"b {stem}"]
    assert await names(user, f"name={stem}&genreIds=4711") == []
    await api.edit(package["id"], {"genreIds": [28]})
    answer = await user("GET", f"/v1/packages?name={stem}&genreIds=35,18")
    assert [item["name"] for item in answer.json()["data"]] == [f"b {stem}"]
    assert answer.headers["x-total-count"] == "1"


async def test_archived_packages_are_listed_for_holders_and_administrators(api: Any, user: Any, admin: Any) -> None:
    stem = str(new_id())
    held = (await api.new_package(name=f"held {stem}")).json()
    gone = (await api.new_package(name=f"gone {stem}")).json()
    await api.new_package(name=f"kept {stem}")
    await user.subscribe(held["id"])
    await api.archive(held["id"])
    await api.archive(gone["id"])
    assert await names(user, f"name={stem}") == [f"held {stem}", f"kept {stem}"]
    assert await names(user, f"name={stem}&status=active") == [f"kept {stem}"]
    assert await names(user, f"name={stem}&status=archived") == [f"held {stem}"]
    assert await names(api.user(), f"name={stem}") == [f"kept {stem}"]
    assert await names(admin, f"name={stem}&sort=-name") == [f"kept {stem}", f"held {stem}", f"gone {stem}"]
    assert await names(admin, f"name={stem}&status=archived") == [f"gone {stem}", f"held {stem}"]


async def test_totals_without_a_filter_are_the_number_of_packages(api: Any, user: Any, admin: Any, sql: Any) -> None:
    package = (await api.new_package()).json()
    await api.archive(package["id"])
    # This may be the first test of all.
    counts = {"active": 0}
    counts |= {row.status: row.n for row in await sql("SELECT status, COUNT(*) AS n FROM packages GROUP BY status")}
    for query, expected in (
        ("", counts["active"] + counts["archived"]),
        ("?status=active", counts["active"]),
        ("?status=archived", counts["archived"]),
    ):
        assert (await admin("GET", f"/v1/packages{query}")).headers["x-total-count"] == str(expected)
    assert (await user("GET", "/v1/packages")).headers["x-total-count"] == str(counts["active"])
    await user.subscribe((await api.new_package()).json()["id"])
    assert (await user("GET", "/v1/packages?status=archived")).headers["x-total-count"] == "0"


async def test_a_list_is_read_again_only_when_it_has_changed(api: Any, user: Any) -> None:
    stem = str(new_id())
    await api.new_package(name=f"a {stem}")
    path = f"/v1/packages?name={stem}&pageSize=1"
    first = await user("GET", path)
    assert first.headers["cache-control"] == "private, no-cache"
    assert (await user("GET", path, if_none_match=first.headers["etag"])).status_code == 304
    await api.new_package(name=f"b {stem}")
    assert (await user("GET", path, if_none_match=first.headers["etag"])).status_code == 200


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("sort=version", "sort"),
        ("sort=name,createdAt", "sort"),
        ("status=deleted", "status"),
        ("genreIds=action", "genreIds"),
        ("genreIds=", "genreIds"),
        ("genreIds=0", "genreIds"),
        ("pageNumber=0", "pageNumber"),
        ("pageSize=101", "pageSize"),
        ("pagesize=10", "pagesize"),
        ("name=a&name=b", "name"),
        ("name=", "name"),
        ("name=%20", "name"),
        (f"name={'x' * 101}", "name"),
        ("dryRun=true", "dryRun"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(user: Any, query: str, pointer: str) -> None:
    document: Any = assert_problem(await user("GET", f"/v1/packages?{query}"), 422, "invalid-request")
    assert [error["pointer"] for error in document["errors"]] == [pointer]


async def test_versions_keep_what_they_were(api: Any, user: Any, admin: Any) -> None:
    package = (await api.new_package(28, 35)).json()
    name = f"New name {new_id()}"
    answer = await admin(
        "PATCH", f"/v1/packages/{package['id']}", {"name": name, "description": "d", "genreIds": [18]}, if_match="*"
    )
    assert answer.status_code == 200
    path = f"/v1/packages/{package['id']}/versions"
    second, first = (await user("GET", path)).json()["data"]
    assert set(first) == {"packageId", "version", "name", "description", "genres", "createdAt", "createdBy"}
    assert (first["version"], first["name"], first["description"]) == (1, package["name"], None)
    assert first["genres"] == [{"id": 28, "name": "Action"}, {"id": 35, "name": "Comedy"}]
    assert first["createdAt"] == package["createdAt"]
    assert (second["version"], second["name"], second["description"]) == (2, name, "d")
    assert (second["createdBy"], second["createdAt"]) == (str(admin.user_id), answer.json()["updatedAt"])
    one = await user("GET", f"{path}/1")
    assert one.json() == first
    assert (await user("GET", f"{path}/1", if_none_match=one.headers["etag"])).status_code == 304
    page = (await user("GET", f"{path}?pageSize=1&pageNumber=2")).json()
    assert ([item["version"] for item in page["data"]], page["pagination"]["totalPages"]) == ([1], 2)


async def test_versions_that_never_were_are_not_found(api: Any, user: Any) -> None:
    path = f"/v1/packages/{(await api.new_package()).json()['id']}/versions"
    assert_problem(await user("GET", f"{path}/2"), 404, "package-version-not-found")
    for number in ("0", "-1", "one", "1.0", "99999999999999999999"):
        assert_problem(await user("GET", f"{path}/{number}"), 422, "invalid-request")


async def test_names_of_genres_follow_the_catalog_everywhere(api: Any, user: Any, resources: Any) -> None:
    from subscription.domain.genres import Genre, GenreStatus

    package = (await api.new_package(18)).json()
    await user.subscribe(package["id"])
    paths = [f"/v1/packages/{package['id']}", f"/v1/packages/{package['id']}/versions/1", "/v1/entitlements/me"]
    before = [await user("GET", path) for path in paths]
    await resources.genres.apply(Genre(18, "Drame", GenreStatus.ACTIVE), 2)
    await resources.genres.apply(Genre(18, "An older name", GenreStatus.RETIRED), 1)
    for path, old in zip(paths, before, strict=True):
        new = await user("GET", path, if_none_match=old.headers["etag"])
        assert new.status_code == 200
        assert [genre["name"] for genre in new.json()["genres"]] == ["Drame"]
    # A check finds what an event has told already, and does not put it back.
    await api.new_package(18)
    assert (await user("GET", paths[0])).json()["genres"][0]["name"] == "Drame"
    await resources.genres.apply(Genre(18, "Drama", GenreStatus.ACTIVE), 3)
