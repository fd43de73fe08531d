"""GET /v1/movies against a plain reading of the contract: random films, random queries, bounds that films lie on."""

import random
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from catalog.main import create_catalog_app
from chassis.testing.http import running

POOL = range(1, 6)
DATES = [None, date(1999, 12, 31), date(2000, 1, 1), date(2000, 1, 2), date(2001, 5, 5), date(9999, 12, 31)]
RATINGS = [0.0, 6.9, 7.0, 7.001, 10.0]
TITLES = ["Alpha", "Alphabet soup", "Äl", "Beta alpha", "Soup & Beta", "al"]
QUERIES = 250


def random_films(choice: random.Random, movie: Any) -> list[Any]:
    """Films of few values each, so that nearly all of them lie on a bound that is asked for."""
    return [
        movie(
            number,
            *sorted(choice.sample(POOL, choice.randint(0, 3))),
            title=choice.choice(TITLES),
            original_language=choice.choice(["en", "fr"]),
            popularity=float(choice.randint(1, 5)),
            release_date=choice.choice(DATES),
            vote_average=choice.choice(RATINGS),
        )
        for number in range(1, 91)
    ]


def random_query(choice: random.Random) -> dict[str, str]:
    """Any of the filters, each as often left out as given, and an order."""
    possible = {
        "genreIds": ",".join(map(str, choice.sample(POOL, choice.randint(1, 3)))),
        "genresMode": choice.choice(["any", "all"]),
        "title": choice.choice(["al", "alpha", "soup b", "be"]),
        "releasedFrom": str(choice.choice(DATES[1:])),
        "releasedTo": str(choice.choice(DATES[1:])),
        "minRating": str(choice.choice(RATINGS)),
        "language": choice.choice(["en", "fr"]),
    }
    chosen = {name: value for name, value in possible.items() if choice.random() < 0.35}
    key = choice.choice(["popularity", "releaseDate", "title", "voteAverage"])
    return {**chosen, "sort": choice.choice(["", "-"]) + key}


FOLDED = {title: title.lower().replace("ä", "a") for title in TITLES}


def belongs(film: Any, query: Mapping[str, str], entitled: frozenset[int], match: str) -> bool:
    """Whether the contract's section 4 puts `film` into the answer to `query`."""
    own = frozenset(film.genre_ids)
    if not own & entitled or (match == "all" and not own <= entitled):
        return False
    if "genreIds" in query:
        asked = frozenset(map(int, query["genreIds"].split(",")))
        whole = query.get("genresMode") == "all"
        if not (asked <= own & entitled if whole else asked & own & entitled):
            return False
    released = film.release_date.isoformat() if film.release_date else None
    words = [*FOLDED[film.title].split(), "film", str(film.id)]
    return (
        all(any(word.startswith(part) for word in words) for part in query.get("title", "").split())
        and ("releasedFrom" not in query or (released is not None and released >= query["releasedFrom"]))
        and ("releasedTo" not in query or (released is not None and released <= query["releasedTo"]))
        and film.vote_average >= float(query.get("minRating", "0"))
        and film.original_language == query.get("language", film.original_language)
    )


def in_order(films: list[Any], sort: str) -> list[int]:
    """Their ids as `sort` has them; equal ones, in both directions, by ascending id."""
    keys = {
        "popularity": lambda film: film.popularity,
        "releaseDate": lambda film: film.release_date.isoformat() if film.release_date else "",
        "title": lambda film: FOLDED[film.title],
        "voteAverage": lambda film: film.vote_average,
    }
    by_id = sorted(films, key=lambda film: film.id)
    ordered = sorted(by_id, key=keys[sort.removeprefix("-")], reverse=sort.startswith("-"))
    return [film.id for film in ordered]


@pytest.mark.parametrize("match", ["any", "all"])
async def test_every_query_has_the_answer_that_the_contract_gives(
    match: str, make_settings: Any, store: Any, movie: Any, person: Any
) -> None:
    choice = random.Random(20261124)
    films = random_films(choice, movie)
    await store(films, {genre: f"Genre {genre}" for genre in POOL})
    readers = [(person(*genres), frozenset(genres)) for genres in [(1,), (2, 3), (1, 2, 3, 4)]]

    async with running(create_catalog_app(make_settings(genre_match=match))) as client:
        for _ in range(QUERIES):
            reader, entitled = choice.choice(readers)
            query = random_query(choice)
            answer = await client.get("/v1/movies", params={**query, "pageSize": "100"}, headers=reader.headers)
            wanted = in_order([film for film in films if belongs(film, query, entitled, match)], query["sort"])

            assert answer.status_code == 200, answer.text
            assert [row["id"] for row in answer.json()["data"]] == wanted, query
            assert answer.headers["x-total-count"] == str(len(wanted)), query
