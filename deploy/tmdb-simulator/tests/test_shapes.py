"""Keys and types are those of TMDB's recorded answers, and in their order."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

ROW: dict[str, type | tuple[type, ...]] = {
    "adult": bool,
    "backdrop_path": (str, type(None)),
    "genre_ids": list,
    "id": int,
    "title": str,
    "original_language": str,
    "original_title": str,
    "overview": str,
    "popularity": float,
    "poster_path": (str, type(None)),
    "release_date": str,
    "softcore": bool,
    "video": bool,
    "vote_average": float,
    "vote_count": int,
}
DETAIL: dict[str, type | tuple[type, ...]] = {
    "adult": bool,
    "backdrop_path": (str, type(None)),
    "belongs_to_collection": (dict, type(None)),
    "budget": int,
    "genres": list,
    "homepage": str,
    "id": int,
    "imdb_id": (str, type(None)),
    "origin_country": list,
    "original_language": str,
    "original_title": str,
    "overview": str,
    "popularity": float,
    "poster_path": (str, type(None)),
    "production_companies": list,
    "production_countries": list,
    "release_date": str,
    "revenue": int,
    "runtime": int,
    "softcore": bool,
    "spoken_languages": list,
    "status": str,
    "tagline": str,
    "title": str,
    "video": bool,
    "vote_average": float,
    "vote_count": int,
}


def assert_shape(value: dict[str, Any], shape: dict[str, type | tuple[type, ...]]) -> None:
    assert list(value) == list(shape)
    for key, kind in shape.items():
        assert isinstance(value[key], kind), key
        assert isinstance(value[key], bool) == (kind is bool), key


def test_rows_of_discover_have_the_keys_and_types_of_tmdb(simulator: httpx.Client) -> None:
    body = simulator.get("/3/discover/movie").json()
    assert list(body) == ["page", "results", "total_pages", "total_results"]
    assert len(body["results"]) == 20
    for row in body["results"]:
        assert_shape(row, ROW)


def test_a_film_has_the_keys_and_types_of_tmdb(simulator: httpx.Client) -> None:
    body = simulator.get("/3/movie/603").json()
    assert_shape(body, DETAIL)
    assert body["title"] == "The Matrix"
    assert body["status"] == "Released"
    assert body["genres"] == [{"id": 28, "name": "Action"}, {"id": 878, "name": "Science Fiction"}]


async def test_absent_keys_are_filled_in_as_tmdb_sends_them(client: httpx.AsyncClient) -> None:
    await client.put("/admin/films/7777", json={"title": "Bare"})
    detail = (await client.get("/3/movie/7777")).json()
    assert_shape(detail, DETAIL)
    assert detail["original_title"] == "Bare"
    assert detail["release_date"] == ""
    assert detail["poster_path"] is None
    assert detail["genres"] == []
    assert detail["status"] == "Planned"
    listed = (await client.get("/3/discover/movie?sort_by=vote_count.asc")).json()["results"]
    assert_shape(next(row for row in listed if row["id"] == 7777), ROW)


def test_the_genre_list_is_that_of_tmdb_byte_for_byte(simulator: httpx.Client) -> None:
    answer = simulator.get("/3/genre/movie/list")
    assert len(answer.json()["genres"]) == 19
    assert answer.json()["genres"][0] == {"id": 28, "name": "Action"}
    # The ETag that TMDB itself has sent for its English list since 2025.
    assert answer.headers["ETag"] == 'W/"98d6f4fb3a0e0c77544a7277f32baebb"'


@pytest.mark.parametrize(
    ("language", "name"),
    [("de", "Historie"), ("da-DK", "Historie "), ("en-US", "History"), ("xx", None)],
)
def test_genre_names_are_translated_or_null(simulator: httpx.Client, language: str, name: str | None) -> None:
    genres = simulator.get("/3/genre/movie/list", params={"language": language}).json()["genres"]
    assert {"id": 36, "name": name} in genres


def test_the_genres_of_a_film_fall_back_to_english(simulator: httpx.Client) -> None:
    genres = simulator.get("/3/movie/603?language=ca").json()["genres"]
    assert {"id": 28, "name": "Action"} in genres


def test_without_a_translation_the_title_is_the_original_and_the_overview_empty(
    simulator: httpx.Client,
) -> None:
    film = simulator.get("/3/movie/129?language=de").json()
    assert film["title"] == "千と千尋の神隠し"
    assert film["overview"] == ""
    assert simulator.get("/3/movie/129").json()["title"] == "Spirited Away"


async def test_a_translation_is_shown_in_its_language(client: httpx.AsyncClient) -> None:
    texts = {"title": "Der Film", "overview": "Worum es geht."}
    await client.put("/admin/films/1", json={"title": "The Film", "translations": {"de": texts}})
    film = (await client.get("/3/movie/1?language=de-AT")).json()
    assert (film["title"], film["overview"]) == ("Der Film", "Worum es geht.")


def test_the_configuration_names_the_image_hosts_and_sizes(simulator: httpx.Client) -> None:
    body = simulator.get("/3/configuration").json()
    assert list(body) == ["change_keys", "images"]
    assert len(body["change_keys"]) == 54
    assert body["images"]["secure_base_url"] == "https://image.tmdb.org/t/p/"
    assert body["images"]["poster_sizes"][-1] == "original"


async def test_a_genre_no_longer_listed_stays_in_rows_and_leaves_the_film(
    client: httpx.AsyncClient,
) -> None:
    await client.put("/admin/films/1", json={"title": "Old", "genre_ids": [10769, 18]})
    rows = (await client.get("/3/discover/movie?with_genres=10769")).json()["results"]
    assert [row["genre_ids"] for row in rows] == [[10769, 18]]
    genres = (await client.get("/3/movie/1")).json()["genres"]
    assert genres == [{"id": 18, "name": "Drama"}]
