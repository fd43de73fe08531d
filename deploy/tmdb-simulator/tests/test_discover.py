"""Filters, orders and pages of /3/discover/movie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tmdb_simulator.app import create_app
from tmdb_simulator.films import parse_film

Source = dict[str, Any]


async def walk(client: httpx.AsyncClient, **query: Any) -> list[Source]:
    """All rows of a query, page after page."""
    rows, page, pages = [], 1, 1
    while page <= pages:
        body = (await client.get("/3/discover/movie", params={**query, "page": page})).json()
        assert body["page"] == page
        rows += body["results"]
        page, pages = page + 1, body["total_pages"]
    assert len(rows) == body["total_results"]
    return rows


@pytest.mark.parametrize(
    ("query", "accepts"),
    [
        ({}, lambda film: True),
        ({"with_genres": "28"}, lambda film: 28 in film["genre_ids"]),
        ({"with_genres": "28,12"}, lambda film: {28, 12} <= set(film["genre_ids"])),
        ({"with_genres": "12|16"}, lambda film: {12, 16} & set(film["genre_ids"])),
        (
            {"with_genres": "28,12|16"},
            lambda film: 28 in film["genre_ids"] and {12, 16} & set(film["genre_ids"]),
        ),
        ({"without_genres": "28,12"}, lambda film: not {28, 12} & set(film["genre_ids"])),
        ({"with_original_language": "fr"}, lambda film: film["original_language"] == "fr"),
        (
            {"primary_release_date.gte": "1960-01-01", "primary_release_date.lte": "1969-12-31"},
            lambda film: film["release_date"][:3] == "196",
        ),
        ({"primary_release_year": "1975"}, lambda film: film["release_date"][:4] == "1975"),
        ({"year": "1976"}, lambda film: film["release_date"][:4] == "1976"),
        ({"vote_count.gte": "50"}, lambda film: film["vote_count"] >= 50),
        (
            {"vote_average.gte": "3.5", "vote_average.lte": "5"},
            lambda film: 3.5 <= film["vote_average"] <= 5,
        ),
        ({"region": "BR", "with_generes": "28", "vote_count.gte": "many"}, lambda film: True),
        ({"with_original_language": "en-US"}, lambda film: False),
        ({"with_genres": "999"}, lambda film: False),
        ({"with_genres": "action"}, lambda film: False),
        ({"with_cast": "31"}, lambda film: False),
    ],
)
async def test_a_filter_finds_exactly_the_films_that_fit(
    client: httpx.AsyncClient,
    sources: list[Source],
    query: dict[str, str],
    accepts: Callable[[Source], object],
) -> None:
    expected = sorted(film["id"] for film in sources if accepts(film))
    assert sorted(row["id"] for row in await walk(client, **query)) == expected


@pytest.mark.parametrize(
    "key",
    [
        "original_title",
        "popularity",
        "revenue",
        "primary_release_date",
        "title",
        "vote_average",
        "vote_count",
    ],
)
async def test_every_order_goes_both_ways(client: httpx.AsyncClient, key: str) -> None:
    shown = {"primary_release_date": "release_date", "revenue": "id"}.get(key, key)
    ascending = [row[shown] for row in await walk(client, sort_by=f"{key}.asc")]
    assert ascending == sorted(ascending)
    if key != "revenue":  # all are 0 here, and ties go by id both ways
        descending = [row[shown] for row in await walk(client, sort_by=f"{key}.desc")]
        assert descending == ascending[::-1]


async def test_the_default_order_is_falling_popularity(client: httpx.AsyncClient) -> None:
    default = await walk(client)
    assert default == await walk(client, sort_by="popularity.desc")
    assert default == await walk(client, sort_by="nonsense")


async def test_undated_films_come_last_and_are_in_no_range_of_dates(
    client: httpx.AsyncClient,
) -> None:
    await client.put("/admin/films/1", json={"title": "Undated"})
    for direction in ("asc", "desc"):
        rows = await walk(client, sort_by=f"primary_release_date.{direction}")
        assert rows[-1]["id"] == 1
    dated = await walk(client, **{"primary_release_date.gte": "1800-01-01"})
    assert 1 not in [row["id"] for row in dated]
    dated = await walk(client, **{"primary_release_date.lte": "2999-01-01"})
    assert 1 not in [row["id"] for row in dated]


@pytest.mark.parametrize(("flag", "parameter"), [("adult", "include_adult"), ("video", "include_video")])
async def test_adult_films_and_videos_are_only_there_when_asked_for(
    client: httpx.AsyncClient, flag: str, parameter: str
) -> None:
    await client.put("/admin/films/1", json={"title": "Special", flag: True})
    assert 1 not in [row["id"] for row in await walk(client)]
    assert 1 not in [row["id"] for row in await walk(client, **{parameter: "false"})]
    assert 1 in [row["id"] for row in await walk(client, **{parameter: "true"})]


async def test_an_empty_result_has_one_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/3/discover/movie?with_original_language=en-US")
    assert answer.json() == {"page": 1, "results": [], "total_pages": 1, "total_results": 0}


async def test_a_page_past_the_end_is_empty(client: httpx.AsyncClient) -> None:
    body = (await client.get("/3/discover/movie?page=500")).json()
    assert body == {"page": 500, "results": [], "total_pages": 5, "total_results": 90}


async def test_total_pages_goes_beyond_what_can_be_asked_for() -> None:
    films = {n: parse_film({"id": n, "title": f"Film {n}"}) for n in range(1, 10_022)}
    transport = httpx.ASGITransport(create_app(films))
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as http:
        path = "/3/discover/movie?api_key=any&page="
        last = (await http.get(path + "500")).json()
        assert (last["total_pages"], last["total_results"]) == (502, 10_021)
        assert len(last["results"]) == 20
        assert (await http.get(path + "501")).status_code == 400


async def test_a_film_changed_at_run_time_is_found_by_its_new_values(
    client: httpx.AsyncClient,
) -> None:
    before = await walk(client, with_genres="37")
    await client.put("/admin/films/5", json={"title": "Moved", "genre_ids": [37]})
    after = await walk(client, with_genres="37")
    assert before == []
    assert [row["title"] for row in after] == ["Moved"]
    assert (await client.delete("/admin/films/5")).status_code == 204
    assert await walk(client, with_genres="37") == []
