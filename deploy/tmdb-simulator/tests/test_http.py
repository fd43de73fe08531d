"""Authentication, caching, framing and errors as at TMDB's edge."""

from __future__ import annotations

import hashlib
import json

import httpx
import pytest

from tmdb_simulator.app import create_app

PATHS = [
    "/3/genre/movie/list",
    "/3/discover/movie",
    "/3/discover/movie?page=2&language=de",
    "/3/movie/129",
    "/3/movie/changes",
    "/3/configuration",
]


@pytest.mark.parametrize("path", PATHS)
def test_the_etag_is_the_hash_of_the_compact_body(simulator: httpx.Client, path: str) -> None:
    answer = simulator.get(path)
    compact = json.dumps(answer.json(), ensure_ascii=False, separators=(",", ":")).encode()
    assert answer.content == compact
    assert answer.headers["ETag"] == f'W/"{hashlib.sha256(compact).hexdigest()[:32]}"'


@pytest.mark.parametrize("path", PATHS)
def test_a_known_etag_gets_304_without_a_body(simulator: httpx.Client, path: str) -> None:
    etag = simulator.get(path).headers["ETag"]
    answer = simulator.get(path, headers={"If-None-Match": etag})
    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["ETag"] == etag


@pytest.mark.parametrize("form", ["{strong}", '"other", {weak}', "*"])
def test_if_none_match_takes_lists_strong_tags_and_the_star(simulator: httpx.Client, form: str) -> None:
    weak = simulator.get("/3/configuration").headers["ETag"]
    value = form.format(weak=weak, strong=weak.removeprefix("W/"))
    answer = simulator.get("/3/configuration", headers={"If-None-Match": value})
    assert answer.status_code == 304


def test_another_etag_gets_the_body(simulator: httpx.Client) -> None:
    answer = simulator.get("/3/configuration", headers={"If-None-Match": 'W/"0"'})
    assert answer.status_code == 200


def test_the_etag_follows_the_list_of_genres(simulator: httpx.Client) -> None:
    before = simulator.get("/3/genre/movie/list").headers["ETag"]
    simulator.put("/admin/genres", json={"genres": [{"id": 28, "name": "Action"}]})
    answer = simulator.get("/3/genre/movie/list", headers={"If-None-Match": before})
    assert answer.json() == {"genres": [{"id": 28, "name": "Action"}]}
    simulator.delete("/admin/genres")
    assert simulator.get("/3/genre/movie/list").headers["ETag"] == before


def test_answers_are_cacheable_and_chunked_as_tmdb_sends_them(simulator: httpx.Client) -> None:
    headers = simulator.get("/3/discover/movie").headers
    assert headers["Cache-Control"] == "public, max-age=14400"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Vary"] == "Accept-Encoding, Origin"
    assert headers["Transfer-Encoding"] == "chunked"
    assert simulator.get("/3/movie/changes").headers["Cache-Control"] == "public, max-age=600"
    past = simulator.get("/3/movie/changes?end_date=2025-11-24")
    assert past.headers["Cache-Control"] == "public, max-age=86400"


def test_gzip_is_for_who_takes_it(simulator: httpx.Client) -> None:
    plain = simulator.get("/3/discover/movie", headers={"Accept-Encoding": "identity"})
    packed = simulator.get("/3/discover/movie", headers={"Accept-Encoding": "br, gzip;q=0.8"})
    refused = simulator.get("/3/discover/movie", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in refused.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.content == packed.content == refused.content
    assert plain.headers["ETag"] == packed.headers["ETag"]


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/3/movie/999999999", 404, 34, "The resource you requested could not be found."),
        ("/3/movie/99999999999999999999", 404, 34, None),
        ("/3/movie/abc", 404, 34, None),
        ("/3/movie/²", 404, 34, None),
        ("/3/movie/603/", 404, 34, None),
        ("/3/nothing", 404, 34, None),
        (
            "/3/discover/movie?page=501",
            400,
            22,
            "Invalid page: Pages start at 1 and max at 500. They are expected to be an integer.",
        ),
        ("/3/discover/movie?page=0", 400, 22, None),
        ("/3/discover/movie?page=-1", 400, 22, None),
        ("/3/discover/movie?page=1.5", 400, 22, None),
        ("/3/discover/movie?page=", 400, 22, None),
        ("/3/movie/changes?page=501", 400, 22, None),
        ("/3/movie/changes?start_date=2026-02-30", 400, 23, None),
        ("/3/movie/changes?end_date=yesterday", 400, 23, None),
        ("/3/discover/movie?primary_release_date.gte=1999", 400, 23, None),
        (
            "/3/movie/changes?start_date=2026-01-01&end_date=2026-01-16",
            422,
            20,
            "Invalid date range: Should be a range no longer than 14 days.",
        ),
        ("/3/movie/changes?start_date=2026-01-02&end_date=2026-01-01", 422, 20, None),
    ],
)
def test_errors_have_the_status_code_and_body_of_tmdb(
    simulator: httpx.Client, path: str, status: int, code: int, message: str | None
) -> None:
    answer = simulator.get(path)
    body = answer.json()
    assert (answer.status_code, body["status_code"]) == (status, code)
    assert list(body) == ["success", "status_code", "status_message"]
    assert body["success"] is False
    assert body["status_message"] == (message or body["status_message"])
    assert "ETag" not in answer.headers
    assert "Cache-Control" not in answer.headers


def test_other_methods_are_refused(simulator: httpx.Client) -> None:
    answer = simulator.post("/3/discover/movie", json={})
    assert (answer.status_code, answer.json()["status_code"]) == (405, 42)


def test_head_has_the_headers_of_get(simulator: httpx.Client) -> None:
    head, get = simulator.head("/3/configuration"), simulator.get("/3/configuration")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["ETag"] == get.headers["ETag"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic abc"}, {"Authorization": "abc"}],
)
def test_without_a_credential_nothing_is_answered(simulator: httpx.Client, headers: dict[str, str]) -> None:
    for path in ("/3/genre/movie/list", "/3/movie/1", "/3/nothing"):
        answer = httpx.get(f"{simulator.base_url}{path}", headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {
            "success": False,
            "status_code": 7,
            "status_message": "Invalid API key: You must be granted a valid key.",
        }


async def test_a_token_that_is_set_is_the_only_one() -> None:
    transport = httpx.ASGITransport(create_app({}, "the-token"))
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as http:

        async def status(**options: dict[str, str]) -> int:
            return (await http.get("/3/configuration", **options)).status_code

        assert await status(headers={"Authorization": "Bearer the-token"}) == 200
        assert await status(headers={"Authorization": "bearer the-token"}) == 200
        assert await status(params={"api_key": "the-token"}) == 200
        assert await status(headers={"Authorization": "Bearer another"}) == 401
        assert await status(params={"api_key": "another"}) == 401
        assert await status() == 401


def test_health_needs_no_token(simulator: httpx.Client) -> None:
    assert httpx.get(f"{simulator.base_url}/livez").json() == {"status": "ok"}
    assert httpx.get(f"{simulator.base_url}/readyz").json()["films"] >= 300
