"""Totals of filtered lists are counted once for each state of the packages, and always those of the present state."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from chassis.ids import new_id
from chassis.testing.http import running
from subscription.factory import Resources, build_resources
from subscription.main import create_app
from subscription.storage.search_counts import SearchCounts


@pytest.fixture
async def replica(settings: Any, clock: Any, neighbours: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Another process of the service, as far as what it remembers is concerned."""
    async with running(create_app(settings, resources=build_resources(settings, clock=clock))) as client:
        yield client


async def total(client: httpx.AsyncClient, caller: Any, query: str) -> int:
    answer = await client.get(f"/v1/packages?{query}", headers=caller.headers)
    assert answer.status_code == 200, answer.text
    return int(answer.headers["x-total-count"])


async def test_every_replica_sees_a_change_of_another_at_once(
    api: Any, user: Any, shared_client: httpx.AsyncClient, replica: httpx.AsyncClient
) -> None:
    stem = new_id().hex[-12:]
    by_name, by_both = f"name={stem}", f"name={stem}&genreIds=28"
    made = await api.new_package(28, name=f"a {stem}")

    async def totals() -> list[list[int]]:
        clients = (shared_client, replica)
        return [[await total(client, user, query) for query in (by_name, by_both)] for client in clients]

    assert await totals() == [[1, 1]] * 2
    other = await api.new_package(28, name=f"b {stem}")
    assert await totals() == [[2, 2]] * 2
    await api.edit(made.json()["id"], {"genreIds": [18]})
    assert await totals() == [[2, 1]] * 2
    await api.edit(made.json()["id"], {"name": f"c {stem[1:]}"})
    assert await totals() == [[1, 1]] * 2
    await api.archive(other.json()["id"])
    assert await totals() == [[0, 0]] * 2
    await api.admin()("POST", f"/v1/packages/{other.json()['id']}/restore")
    assert await totals() == [[1, 1]] * 2


async def test_a_name_that_only_grows_longer_in_its_repetition_is_counted_again(api: Any, user: Any) -> None:
    """Its parts are all the same as before, so the index has nothing to change."""
    stem = new_id().hex[-4:]
    package = (await api.new_package(name=f"{stem} " * 10 + stem)).json()
    longer = f"{stem} " * 11 + stem
    assert (await user("GET", f"/v1/packages?name={longer}")).headers["x-total-count"] == "0"
    await api.edit(package["id"], {"name": longer})
    assert (await user("GET", f"/v1/packages?name={longer}")).headers["x-total-count"] == "1"


@contextmanager
def counting(resources: Resources) -> Iterator[list[str]]:
    """The statements that count packages by their names meanwhile."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "count(" in statement:
            found.append(statement)

    engine = resources.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("query", ["name={stem}", "name={stem}&genreIds=28", "name={stem}{stem}"])
async def test_an_unchanged_state_is_counted_once_for_all_pages_and_orders(
    api: Any, admin: Any, resources: Resources, query: str
) -> None:
    stem = new_id().hex[-12:]
    await api.new_package(28, name=f"{stem}{stem}")
    path = f"/v1/packages?{query.format(stem=stem)}"

    async def counted(more: str, expected: int) -> bool:
        with counting(resources) as found:
            assert (await admin("GET", path + more)).headers["x-total-count"] == str(expected)
        return bool(found)

    assert await counted("", 1)
    for more in ("", "&sort=-updatedAt", "&pageNumber=2", "&pageSize=1"):
        assert not await counted(more, 1)
    await api.new_package(28, name=f"another {stem}{stem}")
    assert await counted("", 2)
    assert not await counted("", 2)


async def test_the_searches_that_were_asked_for_last_are_remembered() -> None:
    counts = SearchCounts(limit=2)
    asked: list[str] = []

    async def ask(search: str, revision: int) -> None:
        async def count() -> tuple[int, int]:
            asked.append(search)
            return revision, len(search)

        assert await counts.get(search, revision, count) == (revision, len(search))

    for search, revision in (("a", 1), ("bb", 1), ("a", 1), ("c", 1), ("a", 1), ("bb", 1), ("bb", 2), ("bb", 2)):
        await ask(search, revision)
    assert asked == ["a", "bb", "c", "bb", "bb"]


async def test_no_two_states_have_the_same_revision(api: Any, sql: Any) -> None:
    """Nor those of a restored backup: whoever goes on from the same state makes another number."""

    async def revision() -> int:
        (row,) = await sql("SELECT SUM(total) AS n FROM package_search_totals WHERE status = 'active' AND term = 'r'")
        return int(row.n)

    made = (await api.new_package()).json()
    seen = [await revision()]
    for name in (f"one {uuid.uuid4()}", f"two {uuid.uuid4()}"):
        await api.edit(made["id"], {"name": name})
        seen.append(await revision())
    steps = [after - before for before, after in pairwise(seen)]
    assert min(steps) > 0
    assert steps[0] != steps[1]
