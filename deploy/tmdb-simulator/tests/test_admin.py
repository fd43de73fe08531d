"""The simulator's own endpoints: faults, the request log, films and their changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest


def day(ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).date().isoformat()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "unheard-of"},
        {"kind": ["error"]},
        {"path": "/3/"},
        {"kind": "error", "status": 418},
        {"kind": "error", "seconds": 1},
        {"kind": "error", "retry_after": -1},
        {"kind": "error", "retry_after": "a\r\nb"},
        {"kind": "slow", "seconds": -1},
        {"kind": "slow", "count": 0},
        {"kind": "slow", "skip": True},
        {"kind": "slow", "path": 3},
        {"kind": "slow", "query": {"page": 2}},
        {"kind": "html", "status": 204},
        {"kind": "genres-extra", "genre": {"id": 1}},
        "error",
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, fault: Any
) -> None:
    await client.put("/admin/faults", json={"faults": [{"kind": "genres-empty"}]})
    before = (await client.get("/admin/faults")).json()
    replaced = await client.put("/admin/faults", json={"faults": [{"kind": "html"}, fault]})
    added = await client.post("/admin/faults", json=fault)
    assert replaced.status_code == added.status_code == 422
    assert replaced.json()["error"]
    assert (await client.get("/admin/faults")).json() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"faults": {}}', b'{"genres": [{}]}'])
async def test_a_body_of_another_form_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    for path in ("/admin/faults", "/admin/genres", "/admin/films/1"):
        assert (await client.put(path, content=content)).status_code == 422


async def test_faults_are_added_shown_and_removed_one_by_one(client: httpx.AsyncClient) -> None:
    first = await client.post("/admin/faults", json={"kind": "html"})
    second = await client.post("/admin/faults", json={"kind": "genres-empty", "count": 1})
    assert first.status_code == 201
    assert second.json() == {
        "id": second.json()["id"],
        "kind": "genres-empty",
        "path": "/3/",
        "query": {},
        "skip": 0,
        "count": 1,
        "hits": 0,
        "remaining": 1,
    }
    assert (await client.delete(f"/admin/faults/{first.json()['id']}")).status_code == 204
    assert (await client.delete(f"/admin/faults/{first.json()['id']}")).status_code == 404
    assert (await client.get("/admin/faults")).json()["faults"] == [second.json()]


async def test_the_log_counts_calls_and_keeps_no_key(client: httpx.AsyncClient) -> None:
    await client.get("/3/configuration", params={"api_key": "secret"})
    await client.get("/3/movie/1", headers={"If-None-Match": 'W/"x"'})
    await client.get("/3/movie/404404")
    await client.get("/livez")
    log = (await client.get("/admin/requests")).json()
    assert log["total"] == log["count"] == 3
    assert log["by_path"] == {"/3/configuration": 1, "/3/movie/1": 1, "/3/movie/404404": 1}
    assert log["by_status"] == {"200": 2, "404": 1}
    assert [entry["conditional"] for entry in log["requests"]] == [False, True, False]
    assert log["requests"][0]["query"] == {"api_key": "***"}
    assert log["requests"][0]["time"].endswith("Z")


async def test_the_log_is_narrowed_by_path_and_time_and_cleared(client: httpx.AsyncClient) -> None:
    await client.get("/3/configuration")
    await client.get("/3/movie/1")
    await client.get("/3/movie/2")
    log = (await client.get("/admin/requests?path=/3/movie")).json()
    assert (log["total"], log["count"]) == (3, 2)
    since = log["requests"][1]["time"]
    later = (await client.get("/admin/requests", params={"since": since})).json()
    assert [entry["path"] for entry in later["requests"]] == ["/3/movie/2"]
    assert (await client.delete("/admin/requests")).status_code == 204
    assert (await client.get("/admin/requests")).json()["total"] == 0


async def test_the_log_names_the_faults_met(client: httpx.AsyncClient) -> None:
    faults = [{"kind": "slow", "seconds": 0}, {"kind": "error", "status": 429}]
    await client.put("/admin/faults", json={"faults": faults})
    await client.get("/3/configuration")
    entry = (await client.get("/admin/requests")).json()["requests"][0]
    assert (entry["faults"], entry["status"]) == (["slow", "error"], 429)


def test_an_unanswered_request_is_logged_without_a_status(simulator: httpx.Client) -> None:
    simulator.put("/admin/faults", json={"faults": [{"kind": "slow", "seconds": 1}]})
    with pytest.raises(httpx.ReadTimeout):
        simulator.get("/3/configuration", timeout=0.2)
    log = simulator.get("/admin/requests?path=/3/configuration").json()
    assert [entry["status"] for entry in log["requests"]] == [None]


async def test_nothing_has_changed_at_the_start(client: httpx.AsyncClient) -> None:
    body = (await client.get("/3/movie/changes")).json()
    assert body == {"results": [], "page": 1, "total_pages": 1, "total_results": 0}


async def test_put_and_deleted_films_appear_in_the_changes(client: httpx.AsyncClient) -> None:
    assert (await client.put("/admin/films/1", json={"title": "New title"})).status_code == 200
    assert (await client.put("/admin/films/9001", json={"title": "New"})).status_code == 201
    assert (await client.delete("/admin/films/2")).status_code == 204
    assert (await client.delete("/admin/films/2")).status_code == 404
    assert (await client.get("/3/movie/1")).json()["title"] == "New title"
    assert (await client.get("/3/movie/2")).status_code == 404
    body = (await client.get("/3/movie/changes")).json()
    assert list(body) == ["results", "page", "total_pages", "total_results"]
    assert body["results"] == [
        {"id": 2, "adult": None, "softcore": None},
        {"id": 9001, "adult": False, "softcore": False},
        {"id": 1, "adult": False, "softcore": False},
    ]


async def test_changes_are_found_by_their_day(client: httpx.AsyncClient) -> None:
    for film, ago in ((1, 20), (2, 10), (3, 5), (4, 0)):
        changed = {} if ago == 0 else {"changed_on": day(ago)}
        await client.put(f"/admin/films/{film}", json={"title": "Changed"}, params=changed)

    async def changed_ids(**query: str) -> list[int]:
        body = (await client.get("/3/movie/changes", params=query)).json()
        return [row["id"] for row in body["results"]]

    assert await changed_ids() == [4]
    assert await changed_ids(start_date=day(14)) == [4, 3, 2]
    assert await changed_ids(start_date=day(20)) == [2, 1]
    assert await changed_ids(start_date=day(10), end_date=day(5)) == [3, 2]
    assert await changed_ids(end_date=day(9)) == [2]
    assert await changed_ids(start_date=day(4), end_date=day(1)) == []


async def test_changes_come_a_hundred_a_page(client: httpx.AsyncClient) -> None:
    for film in range(1, 151):
        await client.put(f"/admin/films/{film}", json={"title": "Changed"})
    pages = [(await client.get(f"/3/movie/changes?page={page}")).json() for page in (1, 2, 3)]
    assert [len(page["results"]) for page in pages] == [100, 50, 0]
    assert {page["total_pages"] for page in pages} == {2}
    assert {page["total_results"] for page in pages} == {150}
    ids = [row["id"] for page in pages for row in page["results"]]
    assert sorted(ids) == list(range(1, 151))


@pytest.mark.parametrize(
    "film",
    [
        {},
        {"title": 3},
        {"title": "A", "id": 2},
        {"title": "A", "release_date": "1999-13-01"},
        {"title": "A", "release_date": None},
        {"title": "A", "genre_ids": {}},
        {"title": "A", "genre_ids": ["28"]},
        {"title": "A", "popularity": "high"},
        {"title": "A", "popularity": -1},
        {"title": "A", "vote_count": True},
        {"title": "A", "poster_path": 5},
        {"title": "A", "runtime": "long"},
        {"title": "A", "translations": {"de": "A"}},
    ],
)
async def test_a_film_that_tmdb_could_not_hold_is_refused(client: httpx.AsyncClient, film: dict[str, Any]) -> None:
    before = (await client.get("/3/movie/1")).content
    assert (await client.put("/admin/films/1", json=film)).status_code == 422
    assert (await client.get("/3/movie/1")).content == before


async def test_an_unpaired_surrogate_and_a_wrong_day_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.put("/admin/films/1", content=b'{"title": "\\ud800"}')
    assert answer.status_code == 422
    answer = await client.put("/admin/films/1?changed_on=today", json={"title": "A"})
    assert answer.status_code == 422
    assert (await client.put("/admin/films/0", json={"title": "A"})).status_code == 422


async def test_genres_can_be_replaced_and_reset(client: httpx.AsyncClient) -> None:
    original = (await client.get("/admin/genres")).json()
    genres = [{"id": 28, "name": "Deeds"}, {"id": 5, "name": "New"}]
    assert (await client.put("/admin/genres", json={"genres": genres})).status_code == 200
    assert (await client.get("/3/genre/movie/list")).json() == {"genres": genres}
    twice = {"genres": [genres[0], genres[0]]}
    assert (await client.put("/admin/genres", json=twice)).status_code == 422
    assert (await client.delete("/admin/genres")).status_code == 204
    assert (await client.get("/3/genre/movie/list")).json() == original
