"""While catalog-service is down, slow, failing or wrong nothing is stored unvalidated, and all else goes on."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from chassis.testing.http import assert_problem, running
from watch.config import Settings
from watch.main import create_app

MOVIE = {"id": 603, "title": "The Matrix", "releaseDate": "1999-03-31", "genres": [{"id": 28, "name": "Action"}]}


def _wrong(answer: Any, **members: Any) -> Any:
    return replace(answer, body=json.dumps({**MOVIE, **members}).encode())


def _behaviours(answer: Any) -> dict[str, Any]:
    """Every way in which a catalog has no usable answer; `answer` is an ordinary one to vary."""
    problem = replace(answer, content_type="application/problem+json")
    return {
        "slow": replace(answer, delay_seconds=1.0),
        "500": replace(problem, status=500),
        "502": replace(problem, status=502, content_type="text/html", body=b"<h1>Bad gateway</h1>"),
        "503": replace(problem, status=503, body=b'{"code": "service-unavailable"}'),
        "401": replace(problem, status=401, body=b'{"code": "invalid-token"}'),
        "403 for another reason": replace(problem, status=403, body=b'{"code": "forbidden"}'),
        "403 without a reason": replace(problem, status=403, body=b""),
        "404 of the path": replace(problem, status=404, body=b'{"code": "not-found"}'),
        "429": replace(problem, status=429, body=b'{"code": "too-many-requests"}'),
        "redirect": replace(answer, status=302),
        "empty": replace(answer, body=b""),
        "no content": replace(answer, status=204, body=b""),
        "no JSON": replace(answer, body=b"<html>"),
        "a list": replace(answer, body=b"[]"),
        "not UTF-8": replace(answer, body=b'{"id": 603, "title": "\xff"}'),
        "another movie": _wrong(answer, id=604),
        "an id as text": _wrong(answer, id="603"),
        "no title": _wrong(answer, title=None),
        "an empty title": _wrong(answer, title=""),
        "a date that is none": _wrong(answer, releaseDate="1999-13-31"),
        "genres as ids": _wrong(answer, genres=[28]),
        "no genres member": replace(
            answer, body=json.dumps({k: v for k, v in MOVIE.items() if k != "genres"}).encode()
        ),
        "gzip that is none": replace(
            answer, raw=b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd"
        ),
        "cut short": replace(answer, raw=b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"),
        "no HTTP": replace(answer, raw=b"hello\r\n\r\n"),
        "hangs up": replace(answer, raw=b""),
    }


BEHAVIOURS = [
    "down", "slow", "500", "502", "503", "401", "403 for another reason", "403 without a reason", "404 of the path",
    "429", "redirect", "empty", "no content", "no JSON", "a list", "not UTF-8", "another movie", "an id as text",
    "no title", "an empty title", "a date that is none", "genres as ids", "no genres member", "gzip that is none",
    "cut short", "no HTTP", "hangs up",
]  # fmt: skip


@pytest.fixture
async def client(settings: Settings, catalog: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The application with a time limit that a test can wait for."""
    impatient = settings.model_copy(update={"catalog_timeout_seconds": 0.3})
    async with running(create_app(impatient)) as http:
        yield http


@pytest.fixture(params=BEHAVIOURS)
async def broken(request: pytest.FixtureRequest, catalog: Any, alice: Any) -> Any:
    """Alice has watched movie 1; then the catalog breaks."""
    catalog.add(1, "Seen before")
    catalog.add(603, "The Matrix")
    assert (await alice.mark(1, "2020-01-01T00:00:00Z")).status_code == 201
    if request.param == "down":
        catalog.stop()
    else:
        catalog.misbehave = _behaviours(catalog.answer("/v1/movies/603", None))[request.param]
    return alice


async def test_marking_is_refused_and_nothing_stored(broken: Any) -> None:
    for movie_id, watched_at in ((603, None), (1, "2021-01-01T00:00:00Z")):
        refusal = await broken.mark(movie_id, watched_at)
        assert_problem(refusal, 503, "dependency-unavailable")
        assert int(refusal.headers["retry-after"]) >= 1
    data = (await broken.get("/v1/watched")).json()["data"]
    assert [(entry["movie"]["id"], entry["watchedAt"]) for entry in data] == [(1, "2020-01-01T00:00:00Z")]


async def test_lists_reports_and_unmarking_go_on(broken: Any) -> None:
    assert await broken.movie_ids() == [1]
    assert (await broken.get("/v1/watched/1")).status_code == 200
    assert (await broken.get("/v1/watched", headers={"Accept": "text/csv"})).text.count("\r\n") == 2
    assert (await broken.get("/v1/reports/me")).json()["totalFilmsWatched"] == 1
    assert (await broken.unmark(1)).status_code == 204
    assert await broken.movie_ids() == []
    assert (await broken.get("/v1/reports/me")).json()["totalFilmsWatched"] == 0


async def test_a_short_failure_of_one_replica_is_not_seen(catalog: Any, settings: Settings, token_issuer: Any) -> None:
    catalog.add(603)
    urls = ["http://127.0.0.1:9", *settings.catalog_urls]
    async with running(create_app(settings.model_copy(update={"catalog_urls": urls}))) as http:
        for _ in range(2):
            answer = await http.put("/v1/watched/603", headers=token_issuer.bearer())
            assert answer.status_code == 201, answer.text


async def test_a_catalog_that_keeps_failing_is_left_alone_and_asked_again_later(catalog: Any, alice: Any) -> None:
    catalog.add(603)
    catalog.misbehave = replace(catalog.answer("/v1/movies/603", None), status=500)
    for _ in range(5):
        assert_problem(await alice.mark(603), 503, "dependency-unavailable")
    asked = len(catalog.asked)
    refusal = await alice.mark(603)
    assert_problem(refusal, 503, "dependency-unavailable")
    assert 1 <= int(refusal.headers["retry-after"]) <= 2
    assert len(catalog.asked) == asked


async def test_one_movie_with_a_wrong_answer_stops_no_other(catalog: Any, alice: Any) -> None:
    catalog.add(603)
    catalog.movies[604] = {"id": 604}
    for _ in range(8):
        assert_problem(await alice.mark(604), 503, "dependency-unavailable")
    assert (await alice.mark(603)).status_code == 201


def test_the_whole_validation_takes_two_seconds_at_most(settings: Settings) -> None:
    assert settings.catalog_timeout_seconds == 2.0
