"""Pages that are served again as bytes: to whom, for how long, and how many of them."""

import asyncio
import re
import uuid
from typing import Any
from unittest.mock import AsyncMock

import pytest

from catalog.domain.movies import MovieFilter, MovieOrder
from catalog.domain.permission import GenreMatch
from catalog.services.catalog_view import CatalogView, Snapshot
from catalog.services.entitlements import EntitlementService
from catalog.services.movies import MovieService
from catalog.services.page_cache import CachedPage, PageCache
from catalog.storage.movies import MovieRepository
from catalog.storage.revisions import Revisions
from chassis.pagination import PageRequest
from chassis.tokens import Principal

GENRES = {28: "Action", 35: "Comedy"}


def page(size: int = 10) -> CachedPage:
    return CachedPage(b"x" * size, '"tag"', ())


def test_a_page_of_another_revision_is_not_served() -> None:
    cache = PageCache(1_000_000)
    cache.put(1, "a", page())
    assert cache.get(1, "a") == page()
    assert cache.get(2, "a") is None

    cache.put(2, "b", page())
    assert cache.get(2, "a") is None
    assert cache.get(1, "a") is None


def test_it_never_holds_more_than_it_may() -> None:
    cache = PageCache(100_000)
    for number in range(1000):
        cache.put(1, number, page(2000))
        cache.get(1, 0)

    held = [number for number in range(1000) if cache.get(1, number)]
    assert 20 < len(held) < 100_000 // 2000
    assert held[0] == 0
    assert held[-1] == 999
    cache.put(1, "huge", page(200_000))
    assert cache.get(1, "huge") is None


def test_putting_the_same_page_again_weighs_nothing() -> None:
    cache = PageCache(10_000)
    for _ in range(100):
        cache.put(1, "a", page(3000))
    cache.put(1, "b", page(3000))

    assert cache.get(1, "a")
    assert cache.get(1, "b")


@pytest.fixture
def queries(monkeypatch: Any) -> list[str]:
    """The names of the queries that were run."""
    asked: list[str] = []
    for name in ("count", "page"):
        original = getattr(MovieRepository, name)

        async def spy(self: Any, *args: Any, original: Any = original, name: str = name) -> Any:
            asked.append(name)
            return await original(self, *args)

        monkeypatch.setattr(MovieRepository, name, spy)
    return asked


async def test_the_same_genres_share_a_page_whoever_asks(
    client: Any, person: Any, store: Any, movie: Any, queries: list[str]
) -> None:
    await store([movie(1, 28)], GENRES)
    first, second, other = person(28), person(28), person(28, 35)
    # The process has seen the new catalog, so that its revision does not change between the requests.
    async with asyncio.timeout(3):
        while not (await client.get("/v1/genres", headers=first.headers)).json()["data"]:
            await asyncio.sleep(0.02)
    path = "/v1/movies?genreIds=28&sort=title"
    answers = [await client.get(path, headers=reader.headers) for reader in (first, first, second, second)]

    assert {answer.content for answer in answers} == {answers[0].content}
    assert {answer.headers["etag"] for answer in answers} == {answers[0].headers["etag"]}
    assert answers[-1].headers["x-total-count"] == "1"
    assert queries == ["count", "page"]
    await client.get(path, headers=other.headers)
    assert queries == ["count", "page", "page"]


async def test_a_page_that_is_served_again_is_the_same_answer(client: Any, person: Any, store: Any, movie: Any) -> None:
    await store([movie(1, 28)], GENRES)
    path = "/v1/movies?sort=title"
    reader = person(28)

    async def metric(status: int) -> float:
        text = (await client.get("/metrics")).text
        counted = re.search(rf'http_requests_total{{method="GET",route="/v1/movies",status="{status}"}} (\S+)', text)
        return float(counted[1]) if counted else 0.0

    first = await client.get(path, headers=reader.headers)
    again = await client.get(path, headers=reader.headers)
    looked_up = await client.get(path, headers=person(28).headers)
    head = await client.head(path, headers=reader.headers)

    own = "x-request-id"
    shown = [{k: v for k, v in a.headers.items() if k != own} for a in (first, again, looked_up, head)]
    assert shown == [shown[0]] * 4
    assert len({answer.headers[own] for answer in (first, again, looked_up, head)}) == 4
    assert (again.content, looked_up.content, head.content) == (first.content, first.content, b"")
    assert await metric(200) == 3

    tag = {"If-None-Match": first.headers["etag"]}
    for unchanged in [await client.get(path, headers={**who.headers, **tag}) for who in (reader, reader, person(28))]:
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == first.headers["etag"]
        assert unchanged.headers["cache-control"] == "private, no-cache"
    assert await metric(304) == 3


async def test_a_page_that_somebody_asks_for_again_is_served_before_anything_is_looked_up(
    client: Any, person: Any, store: Any, movie: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("catalog.services.entitlements._REMEMBERED_SECONDS", 60.0)
    monkeypatch.setattr("catalog.services.catalog_view._USABLE_SECONDS", 60.0)
    await store([movie(1, 28)], GENRES)
    reader = person(28)
    first = await client.get("/v1/movies", headers=reader.headers)

    async def nobody(*_: Any) -> None:
        raise AssertionError("somebody's genres are looked up")

    monkeypatch.setattr(EntitlementService, "entitled", nobody)

    assert (await client.get("/v1/movies", headers=reader.headers)).content == first.content
    assert (await client.get("/v1/movies?pageNumber=1", headers=reader.headers)).status_code == 500


async def test_a_changed_catalog_is_seen_within_a_second(client: Any, person: Any, store: Any, movie: Any) -> None:
    await store([movie(1, 28)], GENRES)
    reader = person(28)
    assert (await client.get("/v1/movies", headers=reader.headers)).headers["x-total-count"] == "1"

    await store([movie(2, 28)])

    async with asyncio.timeout(1.5):
        while (await client.get("/v1/movies", headers=reader.headers)).headers["x-total-count"] != "2":
            await asyncio.sleep(0.02)


async def test_a_remembered_page_needs_a_valid_token(client: Any, person: Any, store: Any, movie: Any) -> None:
    await store([movie(1, 28)], GENRES)
    reader = person(28)
    for _ in range(3):
        assert (await client.get("/v1/movies", headers=reader.headers)).status_code == 200

    assert (await client.get("/v1/movies")).status_code == 401
    forged = {"Authorization": reader.headers["Authorization"][:-3] + "abc"}
    assert (await client.get("/v1/movies", headers=forged)).status_code == 401
    twice = [("Authorization", reader.headers["Authorization"])] * 2
    assert (await client.get("/v1/movies", headers=twice)).status_code == 400


async def test_a_count_is_made_once_for_many_who_ask_at_the_same_time(
    client: Any, person: Any, store: Any, movie: Any, queries: list[str]
) -> None:
    await store([movie(number, 28) for number in range(1, 30)], GENRES)
    reader = person(28)
    # The process has seen the new catalog: what is counted is counted once per revision.
    async with asyncio.timeout(3):
        while (await client.get("/v1/movies", headers=reader.headers)).headers["x-total-count"] != "29":
            await asyncio.sleep(0.02)
    queries.clear()

    await asyncio.gather(
        *(client.get(f"/v1/movies?minRating=0&pageNumber={n}", headers=reader.headers) for n in (1, 2, 3) * 5)
    )

    assert queries.count("count") == 1


async def test_a_count_is_made_once_for_one_who_asks_at_the_moment_it_ends() -> None:
    counted = asyncio.Event()
    movies = AsyncMock(spec=MovieRepository)
    movies.page.return_value = []

    async def count(*_: Any) -> int:
        await counted.wait()
        return 1

    movies.count.side_effect = count
    entitlements = AsyncMock(spec=EntitlementService)
    entitlements.entitled.return_value = frozenset({28})
    view = AsyncMock(spec=CatalogView)
    view.current.return_value = Snapshot(Revisions(genres=1, movies=1), {})
    service = MovieService(movies, AsyncMock(), entitlements, view, GenreMatch.ANY)

    principal = Principal(uuid.uuid4(), uuid.uuid4(), frozenset({"user"}), 1, 0, 0, "")

    def ask() -> asyncio.Task[Any]:
        return asyncio.create_task(service.list_movies(principal, MovieFilter(), MovieOrder(), PageRequest(1, 20)))

    first = ask()
    while not movies.count.called:
        await asyncio.sleep(0)
    counted.set()
    # More in every turn of the loop, before and after what else is due in it: one of them comes just as the count ends.
    others: list[asyncio.Task[Any]] = []
    while not first.done():
        asyncio.get_running_loop().call_soon(lambda: others.append(ask()))
        await asyncio.sleep(0)
        others.append(ask())
    await asyncio.gather(first, *others)

    assert movies.count.call_count == 1
