"""Making, editing, archiving and restoring packages."""

from typing import Any

import pytest

from chassis.ids import new_id
from chassis.testing.http import assert_problem

NAME = "A package that is never stored"


def pointers(document: Any) -> list[str]:
    return [error["pointer"] for error in document["errors"]]


async def test_a_new_package_is_shown_as_it_will_be_read(api: Any) -> None:
    made = await api.new_package(35, 28)
    package = made.json()
    assert set(package) == {
        "id", "name", "description", "genres", "status", "createdAt", "updatedAt", "version"
    }  # fmt: skip
    assert package["createdAt"] == package["updatedAt"]
    assert package["createdAt"].endswith("Z")
    assert made.headers["cache-control"] == "private, no-cache"
    read = await api.user()("GET", made.headers["location"])
    assert (read.json(), read.headers["etag"]) == (package, made.headers["etag"])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"genreIds": [28]}, "/name"),
        ({"name": NAME}, "/genreIds"),
        ({"name": NAME, "genreIds": []}, "/genreIds"),
        ({"name": NAME, "genreIds": [28, 35, 28]}, "/genreIds/2"),
        ({"name": NAME, "genreIds": ["28"]}, "/genreIds/0"),
        ({"name": NAME, "genreIds": [28.5]}, "/genreIds/0"),
        ({"name": NAME, "genreIds": [True]}, "/genreIds/0"),
        ({"name": NAME, "genreIds": [0]}, "/genreIds/0"),
        ({"name": NAME, "genreIds": [2**31]}, "/genreIds/0"),
        ({"name": NAME, "genreIds": 28}, "/genreIds"),
        ({"name": NAME, "genreIds": list(range(1, 102))}, "/genreIds"),
        ({"name": "   ", "genreIds": [28]}, "/name"),
        ({"name": "\u200b\u200d", "genreIds": [28]}, "/name"),
        ({"name": "x" * 101, "genreIds": [28]}, "/name"),
        ({"name": "two\nlines", "genreIds": [28]}, "/name"),
        ({"name": 7, "genreIds": [28]}, "/name"),
        ({"name": None, "genreIds": [28]}, "/name"),
        ({"name": NAME, "genreIds": [28], "description": 3}, "/description"),
        ({"name": NAME, "genreIds": [28], "description": "x" * 2001}, "/description"),
        ({"name": NAME, "genreIds": [28], "description": "bell\u0007"}, "/description"),
        ({"name": NAME, "genreIds": [28], "version": 3}, "/version"),
        ({"name": NAME, "genreIds": [28], "status": "archived"}, "/status"),
    ],
)
async def test_a_package_that_makes_no_sense_is_refused_with_the_place(
    admin: Any, body: dict[str, Any], pointer: str
) -> None:
    document: Any = assert_problem(await admin("POST", "/v1/packages", body), 422, "invalid-request")
    assert pointers(document) == [pointer]
    found = await admin("GET", f"/v1/packages?name={NAME}")
    assert found.json()["data"] == []


async def test_the_longest_name_and_description_fit(admin: Any) -> None:
    name, description = str(new_id()).ljust(100, "é"), "Zeile\n\tzwei " + "😀" * 1900
    made = await admin("POST", "/v1/packages", {"name": f"  {name} ", "description": description, "genreIds": [28]})
    assert made.status_code == 201, made.text
    assert (made.json()["name"], made.json()["description"]) == (name, description)


async def test_genres_must_be_known_to_the_catalog_and_not_retired(admin: Any, neighbours: Any) -> None:
    neighbours.genres[35]["status"] = "retired"
    answer = await admin("POST", "/v1/packages", {"name": NAME, "genreIds": [28, 35, 4711]})
    assert pointers(assert_problem(answer, 422, "unknown-genre")) == ["/genreIds/1", "/genreIds/2"]
    path, query, authorization = neighbours.asked[-1]
    assert path == "/v1/genres"
    assert authorization == admin.headers["Authorization"]
    assert "pageSize=100" in query


async def test_names_are_unique_among_active_packages_whatever_case_accents_and_outer_spaces(
    api: Any, admin: Any
) -> None:
    stem = str(new_id())
    first = (await api.new_package(name=f"Café {stem}")).json()
    for name in (f"café {stem}", f"  CAFE {stem}", f"CaFÉ {stem}   ", f"Cafe\u0301 {stem}"):
        answer = await admin("POST", "/v1/packages", {"name": name, "genreIds": [28]})
        assert_problem(answer, 409, "package-name-taken")
    second = (await api.new_package(name=f"Other {stem}")).json()
    assert_problem(await api.edit(second["id"], {"name": f"CAFE {stem}"}), 409, "package-name-taken")
    assert (await api.edit(first["id"], {"name": f"CAFÉ {stem}"})).json()["version"] == 2

    await api.archive(first["id"])
    assert (await api.edit(second["id"], {"name": f"cafe {stem}"})).json()["version"] == 2
    assert_problem(await admin("POST", f"/v1/packages/{first['id']}/restore"), 409, "package-name-taken")
    assert (await admin("GET", f"/v1/packages/{first['id']}")).json()["status"] == "archived"
    await api.archive(second["id"])
    assert (await admin("POST", f"/v1/packages/{first['id']}/restore")).json()["status"] == "active"


async def test_different_letters_are_different_names(api: Any) -> None:
    stem = str(new_id())
    for name in (f"Kino {stem}", f"Kinö2 {stem}", f"Кино {stem}", f"映画 {stem}", f"🎬 {stem}", f"🎥 {stem}"):
        await api.new_package(name=name)


async def test_each_real_change_makes_the_next_version(api: Any, admin: Any) -> None:
    package = (await api.new_package(28)).json()
    name = f"Renamed {new_id()}"
    edits: list[dict[str, Any]] = [
        {"name": name},
        {"description": "New"},
        {"genreIds": [28, 35]},
        {"description": None},
        {"name": f"{name}!", "description": "Both", "genreIds": [35]},
    ]
    before = package
    for number, edit in enumerate(edits, start=2):
        answer = await api.edit(package["id"], edit)
        after = answer.json()
        assert (answer.status_code, after["version"]) == (200, number)
        assert after["updatedAt"] > before["updatedAt"]
        assert after["createdAt"] == package["createdAt"]
        before = after
    versions = (await admin("GET", f"/v1/packages/{package['id']}/versions")).json()["data"]
    assert [version["version"] for version in versions] == [6, 5, 4, 3, 2, 1]
    assert before["description"] == "Both"


async def test_an_edit_that_changes_nothing_makes_no_version(api: Any, neighbours: Any) -> None:
    package = (await api.new_package(28, 35)).json()
    asked = len(neighbours.asked)
    for edit in ({}, {"name": f" {package['name']} "}, {"description": None}, {"genreIds": [35, 28]}):
        answer = await api.edit(package["id"], edit)
        assert answer.status_code == 200
        assert answer.json() == package
    assert len(neighbours.asked) == asked


@pytest.mark.parametrize(
    ("edit", "pointer"),
    [
        ({"name": None}, "/name"),
        ({"genreIds": None}, "/genreIds"),
        ({"genreIds": []}, "/genreIds"),
        ({"genreIds": [28, 28]}, "/genreIds/1"),
        ({"applyToSubscribers": None}, "/applyToSubscribers"),
        ({"applyToSubscribers": "true"}, "/applyToSubscribers"),
        ({"version": 2}, "/version"),
        ({"applyToSubscriber": True}, "/applyToSubscriber"),
    ],
)
async def test_an_edit_that_makes_no_sense_changes_nothing(
    api: Any, admin: Any, edit: dict[str, Any], pointer: str
) -> None:
    package = (await api.new_package()).json()
    for query in ("", "?dryRun=true"):
        etag = (await admin("GET", f"/v1/packages/{package['id']}")).headers["etag"]
        answer = await admin("PATCH", f"/v1/packages/{package['id']}{query}", edit, if_match=etag)
        assert pointers(assert_problem(answer, 422, "invalid-request")) == [pointer]
    assert (await admin("GET", f"/v1/packages/{package['id']}")).json() == package


async def test_changes_need_the_current_etag(api: Any, admin: Any) -> None:
    made = await api.new_package()
    path = made.headers["location"]
    edit = {"description": "x"}
    assert_problem(await admin("PATCH", path, edit), 428, "precondition-required")
    assert_problem(await admin("DELETE", path), 428, "precondition-required")
    for tag in ('"stale"', made.headers["etag"].strip('"'), f"W/{made.headers['etag']}"):
        assert_problem(await admin("PATCH", path, edit, if_match=tag), 412, "precondition-failed")
        assert_problem(await admin("DELETE", path, if_match=tag), 412, "precondition-failed")
    assert (await admin("PATCH", path, edit, if_match=f'"other", {made.headers["etag"]}')).json()["version"] == 2
    assert_problem(await admin("PATCH", path, {}, if_match=made.headers["etag"]), 412, "precondition-failed")
    assert (await admin("PATCH", path, {"description": "y"}, if_match="*")).json()["version"] == 3


async def test_an_archived_package_takes_no_edits_and_archiving_it_again_is_no_change(api: Any, admin: Any) -> None:
    made = await api.new_package()
    path = made.headers["location"]
    assert (await admin("DELETE", path, if_match=made.headers["etag"])).status_code == 204
    archived = await admin("GET", path)
    assert (archived.json()["status"], archived.json()["version"]) == ("archived", 1)
    assert archived.headers["etag"] != made.headers["etag"]
    # The answer to the first may have been lost, and with it the new tag.
    for tag in (made.headers["etag"], archived.headers["etag"]):
        assert (await admin("DELETE", path, if_match=tag)).status_code == 204
    answer = await admin("PATCH", path, {"description": "x"}, if_match=archived.headers["etag"])
    assert_problem(answer, 409, "package-archived")
    assert (await admin("GET", path)).json() == archived.json()

    restored = await admin("POST", f"{path}/restore")
    assert (restored.status_code, restored.json()["status"], restored.json()["version"]) == (200, "active", 1)
    again = await admin("POST", f"{path}/restore")
    assert (again.status_code, again.json(), again.headers["etag"]) == (200, restored.json(), restored.headers["etag"])


async def test_an_archived_package_is_seen_by_its_subscribers_and_administrators_only(api: Any, user: Any) -> None:
    package = (await api.new_package()).json()
    await user.subscribe(package["id"])
    await api.archive(package["id"])
    for path in (f"/v1/packages/{package['id']}", f"/v1/packages/{package['id']}/versions/1"):
        assert (await user("GET", path)).status_code == 200
        assert (await api.admin()("GET", path)).status_code == 200
        assert_problem(await api.user()("GET", path), 404, "package-not-found")
    listed = (await user("GET", "/v1/packages?status=archived")).json()
    assert [item["id"] for item in listed["data"]] == [package["id"]]
    assert (await api.user()("GET", "/v1/packages?status=archived")).json()["data"] == []
    subscription = (await user("GET", "/v1/subscriptions")).json()["data"][0]
    await user("DELETE", f"/v1/subscriptions/{subscription['id']}")
    assert_problem(await user("GET", f"/v1/packages/{package['id']}"), 404, "package-not-found")


async def test_an_unknown_package_is_not_found(admin: Any) -> None:
    path = f"/v1/packages/{new_id()}"
    users = {"userIds": [str(new_id())]}
    assert_problem(await admin("GET", path), 404, "package-not-found")
    assert_problem(await admin("PATCH", path, {}, if_match="*"), 404, "package-not-found")
    assert_problem(await admin("DELETE", path, if_match="*"), 404, "package-not-found")
    assert_problem(await admin("POST", f"{path}/restore"), 404, "package-not-found")
    assert_problem(await admin("GET", f"{path}/versions"), 404, "package-not-found")
    assert_problem(await admin("GET", f"{path}/versions/1"), 404, "package-not-found")
    assert_problem(await admin("POST", f"{path}/subscriptions", users), 404, "package-not-found")
    assert_problem(await admin("POST", "/v1/subscriptions", {"packageId": str(new_id())}), 404, "package-not-found")
    assert_problem(await admin("GET", "/v1/packages/7"), 422, "invalid-request")


async def test_a_package_is_read_again_only_when_it_has_changed(api: Any, user: Any) -> None:
    made = await api.new_package()
    path, etag = made.headers["location"], made.headers["etag"]
    unchanged = await user("GET", path, if_none_match=f'"other", W/{etag}')
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    assert unchanged.headers["cache-control"] == "private, no-cache"
    await api.edit(made.json()["id"], {"description": "new"})
    assert (await user("GET", path, if_none_match=etag)).status_code == 200


async def test_a_retired_genre_stays_in_the_package_and_cannot_enter_a_new_version(
    api: Any, admin: Any, neighbours: Any, resources: Any
) -> None:
    from subscription.domain.genres import Genre, GenreStatus

    made = await api.new_package(27, 28)
    path = made.headers["location"]
    neighbours.genres[27]["status"] = "retired"
    await resources.genres.apply(Genre(27, "Horror", GenreStatus.RETIRED), 10)
    try:
        read = await admin("GET", path)
        assert read.json()["genres"][0] == {"id": 27, "name": "Horror", "status": "retired"}
        assert read.headers["etag"] != made.headers["etag"]
        answer = await api.edit(made.json()["id"], {"genreIds": [18, 27, 28]})
        assert pointers(assert_problem(answer, 422, "unknown-genre")) == ["/genreIds/1"]
        # What is not touched stays: an edit of the name does not put the genre anywhere new.
        kept = await api.edit(made.json()["id"], {"description": "x", "genreIds": [28, 27]})
        assert (kept.status_code, kept.json()["version"]) == (200, 2)
        assert [genre["id"] for genre in kept.json()["genres"]] == [27, 28]
    finally:
        await resources.genres.apply(Genre(27, "Horror", GenreStatus.ACTIVE), 11)


async def test_who_did_what_to_a_package_is_on_record(api: Any, admin: Any, sql: Any) -> None:
    made = await api.new_package()
    package_id = made.json()["id"]
    await admin("PATCH", made.headers["location"], {"description": "x"}, if_match="*", x_request_id="the-request")
    await api.archive(package_id)
    await admin("POST", f"/v1/packages/{package_id}/restore")
    rows = await sql(
        "SELECT action, HEX(actor_id) AS actor, request_id FROM audit_entries"
        " WHERE subject_id = UNHEX(:id) ORDER BY id",
        id=package_id.replace("-", ""),
    )
    assert [row.action for row in rows] == [
        "package.created", "package.edited", "package.archived", "package.restored"
    ]  # fmt: skip
    assert rows[1].actor.lower() == admin.user_id.hex
    assert rows[1].request_id == "the-request"
