"""CSV: records as RFC 4180 has them, with nothing in them that a spreadsheet would run."""

import csv
import io
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.testing.http import assert_problem
from watch.api.answers import csv_line
from watch.api.schemas.reports import CSV_HEADER

CSV = {"Accept": "text/csv"}


def _rows(answer: httpx.Response) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.text, newline=""), strict=True))


async def test_the_history_as_a_file(catalog: Any, alice: Any) -> None:
    catalog.add(603, 'The "Matrix", again', (28, 878), "1999-03-31")
    catalog.add(7, "=1+1", ())
    await alice.mark(603, "2020-01-01T00:00:00Z")
    await alice.mark(7, "2020-01-02T00:00:00Z")
    answer = await alice.get("/v1/watched", headers=CSV)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="watched.csv"'
    assert "accept" in answer.headers["vary"].lower()
    created = {entry["movie"]["id"]: entry["createdAt"] for entry in (await alice.get("/v1/watched")).json()["data"]}
    assert _rows(answer) == [
        ["movieId", "title", "releaseDate", "genreIds", "genres", "watchedAt", "createdAt"],
        ["7", "'=1+1", "", "", "", "2020-01-02T00:00:00Z", created[7]],
        [
            "603",
            'The "Matrix", again',
            "1999-03-31",
            "28|878",
            "Action|Science Fiction",
            "2020-01-01T00:00:00Z",
            created[603],
        ],
    ]
    assert answer.text.count("\r\n") == 3


async def test_an_empty_history_is_a_header_row(alice: Any) -> None:
    answer = await alice.get("/v1/watched", headers=CSV)
    assert answer.text == "movieId,title,releaseDate,genreIds,genres,watchedAt,createdAt\r\n"


async def test_filters_and_order_hold_for_the_file_and_pages_do_not(catalog: Any, alice: Any) -> None:
    for movie_id in range(1, 13):
        catalog.add(movie_id, genre_ids=(28,) if movie_id % 2 else (35,))
        await alice.mark(movie_id, f"2020-01-{movie_id:02}T00:00:00Z")
    answer = await alice.get("/v1/watched?genreIds=28&sort=watchedAt&pageSize=2", headers=CSV)
    assert [row[0] for row in _rows(answer)[1:]] == ["1", "3", "5", "7", "9", "11"]


async def test_a_bad_query_is_a_problem_here_too(alice: Any) -> None:
    assert_problem(await alice.get("/v1/watched?sort=name", headers=CSV), 422, "invalid-request")


async def test_all_reports_as_a_file(catalog: Any, person: Any, admin: Any) -> None:
    people = sorted((person() for _ in range(3)), key=lambda one: str(one.id))
    catalog.add(603, "The Matrix")
    catalog.add(7, "@cmd", ())
    await people[0].mark(603)
    await people[1].mark(7)
    params = {"userIds": ",".join(str(one.id) for one in people)}
    answer = await admin.get("/v1/reports/users", params=params, headers=CSV)
    assert _rows(answer) == [
        list(CSV_HEADER),
        [str(people[0].id), "1", "28", "Action", "1", "603", "The Matrix"],
        [str(people[1].id), "1", "", "", "", "7", "'@cmd"],
    ]
    everybody = _rows(await admin.get("/v1/reports/users", headers=CSV))
    assert {str(one.id) for one in people[:2]} <= {row[0] for row in everybody}
    assert_problem(await people[0].get("/v1/reports/users", headers=CSV), 403, "forbidden")


@given(st.lists(st.text(), min_size=2, max_size=5))
def test_any_text_comes_back_as_it_was_but_for_the_apostrophe(cells: list[str]) -> None:
    line = csv_line(cells)
    assert line.endswith("\r\n")
    ((*read,),) = csv.reader(io.StringIO(line, newline=""), strict=True)
    for cell, seen in zip(cells, read, strict=True):
        assert seen in (cell, "'" + cell)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@A", "\t=1", "\r=1", "\n=1", " =1", "＝1", "\ufeff=1"])
def test_text_that_a_spreadsheet_would_run_is_made_harmless(text: str) -> None:
    assert csv_line([text]).lstrip('"').startswith("'")


def test_numbers_and_nothing_stay_as_they_are() -> None:
    assert csv_line([-5, None, "a;b"]) == '-5,,"a;b"\r\n'
