"""Entity tags of users: a reader that has a state is told so, and an edit may name the state that it is based on."""

import asyncio
from typing import Any

import httpx

from chassis.testing.http import assert_problem


async def patch(client: httpx.AsyncClient, account: Any, if_match: str | None = None, **body: Any) -> httpx.Response:
    headers = account.bearer | ({} if if_match is None else {"If-Match": if_match})
    return await client.patch("/v1/users/me", json=body, headers=headers)


async def tag_of(client: httpx.AsyncClient, account: Any) -> str:
    return (await client.get("/v1/users/me", headers=account.bearer)).headers["etag"]


async def test_every_answer_that_shows_a_user_has_the_same_strong_tag(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, new_email: Any, log_in: Any, admin: Any
) -> None:
    body = {"email": new_email(), "password": "a bicycle for two fish", "name": "Ann"}
    created = await api.post("/v1/users", json=body)
    tag = created.headers["etag"]
    assert tag.startswith('"')
    path = f"/v1/users/{created.json()['id']}"
    assert (await other_api.get(path, headers=admin.bearer)).headers["etag"] == tag
    edited = await api.patch(path, json={"name": "Änn"}, headers=admin.bearer)
    assert edited.headers["etag"] != tag
    assert (await other_api.get(path, headers=admin.bearer)).headers["etag"] == edited.headers["etag"]


async def test_a_reader_who_has_the_state_gets_304_until_it_changes(
    api: httpx.AsyncClient, admin: Any, user: Any
) -> None:
    tag = await tag_of(api, user)
    for path in ("me", user.id):
        for known in (tag, f'"other", W/{tag}', "*"):
            answer = await api.get(f"/v1/users/{path}", headers=user.bearer | {"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tag
            assert answer.headers["cache-control"] == "private, no-store"
    assert (await api.patch(f"/v1/users/{user.id}", json={"name": "Eve"}, headers=admin.bearer)).status_code == 200
    answer = await api.get("/v1/users/me", headers=user.bearer | {"If-None-Match": tag})
    assert (answer.status_code, answer.json()["name"]) == (200, "Eve")


async def test_the_tag_follows_role_status_and_address(
    api: httpx.AsyncClient, admin: Any, user: Any, new_email: Any
) -> None:
    path, tags = f"/v1/users/{user.id}", set()
    for change in ({}, {"role": "admin"}, {"status": "disabled"}, {"email": new_email()}):
        tags.add((await api.patch(path, json=change, headers=admin.bearer)).headers["etag"])
    assert len(tags) == 4


async def test_an_edit_or_erasure_of_another_state_is_refused(api: httpx.AsyncClient, user: Any) -> None:
    stale = await tag_of(api, user)
    fresh = (await patch(api, user, stale, name="Eve")).headers["etag"]
    for wrong in (stale, f"W/{fresh}", '"x"'):
        assert_problem(await patch(api, user, wrong, name="Ann"), 412, "precondition-failed")
        erased = await api.delete("/v1/users/me", headers=user.bearer | {"If-Match": wrong})
        assert_problem(erased, 412, "precondition-failed")
    assert (await patch(api, user, name="No tag")).status_code == 200
    assert (await patch(api, user, "*", name="Any")).status_code == 200
    last = await tag_of(api, user)
    assert (await api.delete("/v1/users/me", headers=user.bearer | {"If-Match": last})).status_code == 204


async def test_of_fifty_edits_of_one_state_over_two_replicas_one_is_made(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any
) -> None:
    tag = await tag_of(api, user)
    replicas = [api, other_api] * 25
    answers = await asyncio.gather(
        *(patch(replica, user, tag, name=f"Name {number}") for number, replica in enumerate(replicas))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 49
    (winner,) = [answer for answer in answers if answer.status_code == 200]
    assert (await api.get("/v1/users/me", headers=user.bearer)).json() == winner.json()
