"""The one rule of what may be seen: list and single movie agree with an oracle written down independently."""

import random
from itertools import combinations, product
from typing import Any

import httpx
import pytest

from catalog.domain.permission import GenreMatch, GenresMode, permitted
from catalog.main import create_catalog_app
from chassis.testing.http import running


def oracle(film: frozenset[int], entitled: frozenset[int], match: str) -> bool:
    """The contract's section 7 in other words."""
    if match == "all":
        return len(film) > 0 and all(genre in entitled for genre in film)
    return any(genre in entitled for genre in film)


def oracle_list(
    film: frozenset[int], entitled: frozenset[int], match: str, requested: frozenset[int], mode: str
) -> bool:
    """The contract's section 4 in other words."""
    if not oracle(film, entitled, match):
        return False
    if not requested:
        return True
    if mode == "all":
        return all(genre in entitled and genre in film for genre in requested)
    return any(genre in entitled and genre in film for genre in requested)


def test_the_rule_is_the_oracle() -> None:
    # Every case there is with three genres: nothing is left to chance.
    pool = (1, 2, 3)
    sets = [frozenset(chosen) for size in range(4) for chosen in combinations(pool, size)]
    for film, entitled, requested in product(sets, repeat=3):
        for match, mode in product(GenreMatch, GenresMode):
            condition = permitted(entitled, match, requested, mode)
            accepted = condition is not None and condition.accepts(film)

            assert accepted == oracle_list(film, entitled, match, requested, mode)


@pytest.mark.parametrize("match", ["any", "all"])
async def test_list_and_single_movie_agree_with_the_oracle(  # noqa: PLR0913 - fixtures
    match: str, make_settings: Any, store: Any, movie: Any, person: Any, subscriptions: Any
) -> None:
    choice = random.Random(20260501)
    pool = range(1, 7)
    films = {number: frozenset(choice.sample(pool, choice.randint(0, 4))) for number in range(1, 61)}
    await store(
        [movie(number, *sorted(of), popularity=choice.random()) for number, of in films.items()],
        {genre: f"Genre {genre}" for genre in pool},
    )

    async def listed(client: httpx.AsyncClient, headers: dict[str, str], query: str) -> set[int]:
        answer = await client.get(f"/v1/movies?pageSize=100&{query}", headers=headers)
        assert answer.status_code == 200
        assert int(answer.headers["x-total-count"]) == len(answer.json()["data"])
        return {row["id"] for row in answer.json()["data"]}

    async with running(create_catalog_app(make_settings(genre_match=match))) as client:
        for _ in range(6):
            packages = [choice.sample(pool, choice.randint(1, 3)) for _ in range(choice.randint(0, 3))]
            reader = person()
            subscriptions.set(reader.id, [(package, None) for package in packages])
            entitled = frozenset(genre for package in packages for genre in package)
            seen = {number for number, of in films.items() if oracle(of, entitled, match)}

            assert await listed(client, reader.headers, "") == seen
            for number in films:
                single = await client.get(f"/v1/movies/{number}", headers=reader.headers)
                assert single.status_code == (200 if number in seen else 403)
            for mode in ("any", "all"):
                requested = frozenset(choice.sample(pool, choice.randint(1, 3)))
                query = f"genresMode={mode}&genreIds={','.join(map(str, sorted(requested)))}"
                assert await listed(client, reader.headers, query) == {
                    number for number, of in films.items() if oracle_list(of, entitled, match, requested, mode)
                }
