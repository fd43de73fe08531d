"""What a client meets while a fault is switched on, over real HTTP."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

Inject = Callable[..., None]
GENRES = "/3/genre/movie/list"


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 7), (404, 34), (429, 25), (500, 11), (502, 43), (503, 9), (504, 24)],
)
def test_an_error_has_the_body_of_tmdb(simulator: httpx.Client, inject: Inject, status: int, code: int) -> None:
    inject("error", status=status)
    answer = simulator.get(GENRES)
    assert (answer.status_code, answer.json()["status_code"]) == (status, code)
    assert "Retry-After" not in answer.headers
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("value", [0, 3, "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_429_can_say_when_to_come_back(simulator: httpx.Client, inject: Inject, value: int | str) -> None:
    inject("error", status=429, retry_after=value)
    assert simulator.get(GENRES).headers["Retry-After"] == str(value)


@pytest.mark.parametrize("status", [502, 503, 200])
def test_html_in_place_of_json(simulator: httpx.Client, inject: Inject, status: int) -> None:
    inject("html", status=status)
    answer = simulator.get(GENRES)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<html>")


def test_a_slow_answer_is_the_true_one(simulator: httpx.Client, inject: Inject) -> None:
    true = simulator.get(GENRES).json()
    inject("slow", seconds=0.3)
    started = time.perf_counter()
    assert simulator.get(GENRES).json() == true
    assert time.perf_counter() - started >= 0.3


@pytest.mark.parametrize("after_headers", [False, True])
def test_a_hanging_answer_times_out_and_blocks_nobody_else(
    simulator: httpx.Client, inject: Inject, after_headers: bool
) -> None:
    inject("hang", after_headers=after_headers, count=1)
    with pytest.raises(httpx.ReadTimeout):
        simulator.get(GENRES, timeout=0.3)
    assert simulator.get(GENRES).status_code == 200
    deadline = time.monotonic() + 5  # the server notices the lost connection on its own time
    while (log := simulator.get("/admin/requests").json()["requests"])[0]["status"] is None:
        assert time.monotonic() < deadline
    assert [entry["status"] for entry in log] == [200 if after_headers else 499, 200]


def test_gzip_without_its_header_reaches_the_client_undecoded(simulator: httpx.Client, inject: Inject) -> None:
    true = simulator.get(GENRES)
    inject("gzip-without-header")
    known = {"If-None-Match": true.headers["ETag"]}
    for headers in ({}, {"Accept-Encoding": "identity"}, known):
        answer = simulator.get(GENRES, headers=headers)
        assert answer.status_code == 200
        assert answer.content[:2] == b"\x1f\x8b"
        assert "Content-Encoding" not in answer.headers
        assert gzip.decompress(answer.content) == true.content


def test_truncated_json_ends_in_the_middle(simulator: httpx.Client, inject: Inject) -> None:
    true = simulator.get(GENRES).content
    inject("truncated-json")
    answer = simulator.get(GENRES)
    assert answer.status_code == 200
    assert answer.content == true[: len(true) // 2]
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_malformed_rows_stand_between_good_ones(simulator: httpx.Client, inject: Inject) -> None:
    true = simulator.get("/3/discover/movie").json()["results"]
    inject("malformed-rows", every=2)
    rows = simulator.get("/3/discover/movie").json()["results"]
    assert len(rows) == 20
    assert rows[1::2] == true[1::2]
    assert all(row != good for row, good in zip(rows[::2], true[::2], strict=True))
    assert {type(row) for row in rows} == {dict, str, type(None)}


def test_a_malformed_film_has_no_usable_id(simulator: httpx.Client, inject: Inject) -> None:
    inject("malformed-rows")
    film = simulator.get("/3/movie/603").json()
    assert film["id"] is None
    assert film["genres"] is None


def test_genre_ids_can_be_missing_or_an_object(simulator: httpx.Client, inject: Inject) -> None:
    inject("genre-ids-missing")
    rows = simulator.get("/3/discover/movie").json()["results"]
    assert all("genre_ids" not in row for row in rows)
    assert "genres" not in simulator.get("/3/movie/603").json()
    inject("genre-ids-object", every=4)
    rows = simulator.get("/3/discover/movie").json()["results"]
    assert [row["genre_ids"] == {} for row in rows] == [True, False, False, False] * 5
    assert simulator.get("/3/movie/603").json()["genres"] == {}
    assert simulator.get(GENRES).json()["genres"] != {}


@pytest.mark.parametrize(
    ("kind", "options", "change"),
    [
        ("genres-empty", {}, lambda true: []),
        ("genres-shrunken", {"keep": 7}, lambda true: true[:7]),
        (
            "genres-renamed",
            {"names": {"28": "Deeds"}},
            lambda true: [{"id": 28, "name": "Deeds"}, *true[1:]],
        ),
        (
            "genres-extra",
            {"genre": {"id": 9805, "name": "Sport"}},
            lambda true: [*true, {"id": 9805, "name": "Sport"}],
        ),
    ],
)
def test_the_genre_list_can_be_wrong_and_then_right_again(
    simulator: httpx.Client,
    inject: Inject,
    kind: str,
    options: dict[str, Any],
    change: Callable[[list[Any]], list[Any]],
) -> None:
    true = simulator.get(GENRES)
    inject(kind, **options)
    # A wrong list has an ETag of its own, so that a conditional request sees it.
    wrong = simulator.get(GENRES, headers={"If-None-Match": true.headers["ETag"]})
    assert wrong.json()["genres"] == change(true.json()["genres"])
    simulator.delete("/admin/faults")
    assert simulator.get(GENRES).content == true.content


def test_duplicated_rows_hide_others(simulator: httpx.Client, inject: Inject) -> None:
    pages = [
        [row["id"] for row in simulator.get(f"/3/discover/movie?page={page}").json()["results"]] for page in (1, 2)
    ]
    inject("duplicated-rows", rows=4)
    first = simulator.get("/3/discover/movie?page=1").json()["results"]
    second = simulator.get("/3/discover/movie?page=2").json()["results"]
    assert [row["id"] for row in first] == pages[0]
    assert [row["id"] for row in second] == pages[0][-4:] + pages[1][4:]


@pytest.mark.parametrize("shift", [2, -2])
def test_drifting_pages_move_with_every_request(simulator: httpx.Client, inject: Inject, shift: int) -> None:
    query = {"sort_by": "title.asc"}
    true = [
        row["id"]
        for page in range(1, 6)
        for row in simulator.get("/3/discover/movie", params={**query, "page": page}).json()["results"]
    ]
    total = simulator.get("/3/discover/movie", params=query).json()["total_results"]
    inject("drifting-pages", shift=shift)
    for page in (1, 2, 3):
        body = simulator.get("/3/discover/movie", params={**query, "page": page}).json()
        start = (page - 1) * 20 - shift * (page - 1)
        assert [row["id"] for row in body["results"]] == true[start : start + 20]
        assert body["total_results"] == total + shift * (page - 1)


def test_a_fault_is_bound_to_its_path_query_and_count(simulator: httpx.Client, inject: Inject) -> None:
    inject("error", path="/3/discover", query={"page": "2"}, skip=1, count=2)

    def status(path: str) -> int:
        return simulator.get(path).status_code

    assert status(GENRES) == 200
    assert status("/3/discover/movie?page=1") == 200
    assert [status("/3/discover/movie?page=2") for _ in range(5)] == [200, 500, 500, 200, 200]
    shown = simulator.get("/admin/faults").json()["faults"][0]
    assert (shown["hits"], shown["remaining"]) == (2, 0)


def test_several_errors_with_counts_make_a_sequence(simulator: httpx.Client) -> None:
    faults = [
        {"kind": "error", "status": 429, "count": 2},
        {"kind": "html", "count": 1},
        {"kind": "slow", "seconds": 0},
    ]
    simulator.put("/admin/faults", json={"faults": faults})
    assert [simulator.get(GENRES).status_code for _ in range(4)] == [429, 429, 502, 200]


def test_a_fault_does_not_spoil_what_is_kept_for_later(simulator: httpx.Client, inject: Inject) -> None:
    true = simulator.get("/3/discover/movie").content
    inject("malformed-rows", every=1)
    simulator.get("/3/discover/movie")
    simulator.delete("/admin/faults")
    assert simulator.get("/3/discover/movie").content == true
