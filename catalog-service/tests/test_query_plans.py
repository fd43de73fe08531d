"""How the engine answers the queries behind a page: what `explain` says of the very commands that are sent.

Every engine has to find the movies by an index. Only some walk it in the order that is asked for (MongoDB does, the
local engine sorts whatever matches): there, nothing is sorted and little more is looked at than is shown.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from catalog.domain.movies import MovieFilter, MovieOrder, SortKey
from catalog.domain.permission import GenreCondition
from catalog.storage.movies import MovieRepository
from catalog.storage.schema import INDEXES, MOVIES, SORT_FIELDS
from chassis.mongo import Document

LIMIT = 20
GENRES = (28, 35, 878)
ORDERS = [MovieOrder(key, descending) for key in SortKey for descending in (True, False)]
CONDITIONS = {
    "one genre": GenreCondition(frozenset({28})),
    "several genres": GenreCondition(frozenset(GENRES)),
}
FILTERS = {
    "rating": MovieFilter(min_rating=5.0),
    "dates": MovieFilter(released_from=date(1990, 1, 1), released_to=date(2020, 1, 1)),
}


class Sent(CommandListener):
    """The finds and counts that a client has sent."""

    def __init__(self) -> None:
        self.commands: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate"):
            asked = ("find", "aggregate", "filter", "sort", "skip", "limit", "projection", "pipeline", "cursor")
            self.commands.append({name: event.command[name] for name in asked if name in event.command})

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Not of interest."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Not of interest."""


class Explained:
    """A collection of movies whose queries are explained."""

    def __init__(self, client: AsyncMongoClient[Document], sent: Sent) -> None:
        self._database = client.get_default_database()
        self._sent = sent
        self.movies = MovieRepository(self._database)

    async def last(self) -> Document:
        command = self._sent.commands[-1]
        answer: Document = await self._database.command("explain", command, verbosity="executionStats")
        return answer


@pytest.fixture
async def explained(database_url: str, store: Any, movie: Any) -> AsyncIterator[Explained]:
    films = [
        movie(
            number,
            *(GENRES[: 1 + number % 3] if number % 5 else (18,)),
            title=f"Film {number} one" if number % 2 else f"Film {number}",
            popularity=float(number % 97),
            vote_average=number % 100 / 10,
            release_date=date(1960 + number % 60, 1, 1),
            original_language="en" if number % 4 else "fr",
        )
        for number in range(1, 2001)
    ]
    await store(films)
    sent = Sent()
    async with AsyncMongoClient[Document](database_url, event_listeners=[sent]) as client:
        yield Explained(client, sent)


def stages(node: Any) -> Iterator[Document]:
    """All stages of a plan, however deep they are."""
    if isinstance(node, dict):
        if "stage" in node:
            yield node
        for name, child in node.items():
            if name != "rejectedPlans":
                yield from stages(child)
    elif isinstance(node, list):
        for child in node:
            yield from stages(child)


def test_there_is_a_walk_for_every_order() -> None:
    walks = [list(index.document["key"].items())[:3] for index in INDEXES[MOVIES]]

    for order in ORDERS:
        # Equality first, then what is sorted by: https://www.mongodb.com/docs/manual/tutorial/equality-sort-range-rule
        wanted = [("genreIds", 1), (SORT_FIELDS[order.key], -1 if order.descending else 1), ("_id", 1)]
        assert wanted in walks


def used(answer: Document) -> tuple[set[str], set[str]]:
    """The stages of the plan of a find or a count, and the indexes that they read."""
    planned = [part["$cursor"] for part in answer.get("stages", ()) if "$cursor" in part] or [answer]
    found = list(stages([part["queryPlanner"]["winningPlan"] for part in planned]))
    return {stage["stage"] for stage in found}, {stage["indexName"] for stage in found if "indexName" in stage}


@pytest.mark.parametrize("condition", ["one genre", "several genres"])
async def test_movies_are_found_by_an_index(explained: Explained, condition: str) -> None:
    for order in ORDERS:
        await explained.movies.page(CONDITIONS[condition], MovieFilter(), order, 40, LIMIT)
        found, indexes = used(await explained.last())

        assert "COLLSCAN" not in found
        assert all(name.startswith("page_") for name in indexes)
        assert indexes
    await explained.movies.count(CONDITIONS[condition], MovieFilter())
    found, indexes = used(await explained.last())
    assert "COLLSCAN" not in found
    assert indexes


@pytest.mark.parametrize(("narrowed", "field"), [("rating", "voteAverage"), ("dates", "releaseDate")])
async def test_a_range_is_a_part_of_the_walk(explained: Explained, narrowed: str, field: str) -> None:
    order = MovieOrder(SortKey(field))

    await explained.movies.page(CONDITIONS["one genre"], FILTERS[narrowed], order, 0, LIMIT)
    found, indexes = used(await explained.last())

    assert "COLLSCAN" not in found
    assert {name.rpartition("_")[0] for name in indexes} == {f"page_{field}"}


async def walks_in_order(explained: Explained) -> bool:
    """Whether the engine reads an index in the order that is asked for: one genre, by an index made for just that."""
    await explained.movies.page(CONDITIONS["one genre"], MovieFilter(), MovieOrder(), 0, LIMIT)
    found, _ = used(await explained.last())
    return "SORT" not in found


async def test_a_page_looks_at_little_more_than_it_shows(explained: Explained) -> None:
    if not await walks_in_order(explained):
        pytest.skip("this engine sorts whatever matches")
    offset = 40
    for condition, order in [(c, o) for c in ("one genre", "several genres") for o in ORDERS]:
        await explained.movies.page(CONDITIONS[condition], MovieFilter(), order, offset, LIMIT)
        answer = await explained.last()
        found, indexes = used(answer)

        assert "SORT" not in found, (condition, order)
        assert indexes == {f"page_{SORT_FIELDS[order.key]}_{'desc' if order.descending else 'asc'}"}
        # A film of several entitled genres is met once in the walk of each.
        assert answer["executionStats"]["totalKeysExamined"] <= len(GENRES) * (offset + LIMIT) + len(GENRES)
