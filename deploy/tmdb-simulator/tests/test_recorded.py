"""The simulator's answers have the form of those that were recorded of TMDB (`tmdb_simulator.recorded`)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tmdb_simulator.recorded import fits, form_of, forms, merge

FORMS: dict[str, Any] = json.loads(Path(__file__).with_name("recorded-forms.json").read_bytes())
PATHS = {
    "/3/genre/movie/list": ["/3/genre/movie/list", "/3/genre/movie/list?language=da"],
    "/3/discover/movie": [f"/3/discover/movie?page={page}&sort_by=vote_count.asc" for page in (1, 2, 3, 24, 25)],
    "/3/movie/{id}": ["/3/movie/603", "/3/movie/129", "/3/movie/603?language=de"],
    "/3/movie/changes": ["/3/movie/changes", "/3/movie/changes?page=1"],
    "/3/configuration": ["/3/configuration"],
}
ERRORS = {
    "7": "/3/configuration",
    "20": "/3/movie/changes?start_date=2026-01-01&end_date=2026-01-16",
    "22": "/3/discover/movie?page=501",
    "34": "/3/movie/999999999",
}


def test_nothing_is_left_out() -> None:
    assert FORMS["answers"].keys() == PATHS.keys()
    assert FORMS["errors"].keys() == ERRORS.keys()


@pytest.mark.parametrize("endpoint", PATHS)
def test_answers_have_the_keys_types_and_headers_of_recorded_ones(simulator: httpx.Client, endpoint: str) -> None:
    recorded = FORMS["answers"][endpoint]
    if endpoint == "/3/movie/changes":
        simulator.put("/admin/films/900001", json={"title": "New"})
        simulator.put("/admin/films/900002", json={"title": "Gone"})
        simulator.delete("/admin/films/900002")
    for path in PATHS[endpoint]:
        answer = simulator.get(path)
        body = answer.json()

        assert answer.status_code == 200
        assert fits(form_of(body), recorded["body"]), (path, form_of(body))
        assert set(recorded["headers"]) <= answer.headers.keys()
        assert answer.headers["content-type"] in recorded["content-type"]
        assert len(body.get("results", ())) <= recorded["most rows"]
    simulator.delete("/admin/films/900001")


@pytest.mark.parametrize("code", ERRORS)
def test_errors_are_those_of_recorded_answers(simulator: httpx.Client, code: str) -> None:
    headers = {"Authorization": ""} if code == "7" else {}

    answer = simulator.get(ERRORS[code], headers=headers)

    assert {"status": answer.status_code, "body": answer.json()} == FORMS["errors"][code]


def test_the_comparison_notices_another_key_order_or_type() -> None:
    recorded = form_of({"page": 1, "results": [{"id": 1, "name": "a"}, {"id": 2, "name": None}]})

    assert fits(form_of({"page": 7, "results": []}), recorded)
    assert fits(form_of({"page": 7, "results": [{"id": 3, "name": None}]}), recorded)
    for other in (
        {"page": 7},
        {"results": [], "page": 7},
        {"page": "7", "results": []},
        {"page": 7, "results": [{"id": 3}]},
        {"page": 7, "results": [{"name": "a", "id": 3}]},
        {"page": 7, "results": [{"id": True, "name": "a"}]},
        {"page": 7, "results": {}},
    ):
        assert not fits(form_of(other), recorded), other
    with pytest.raises(ValueError, match="keys"):
        merge(form_of({"a": 1}), form_of({"b": 1}))


def recording(path: str, body: Any, status: int = 200, **headers: str) -> dict[str, Any]:
    return {
        "request": {"method": "GET", "path": path, "query": {}},
        "response": {"status": status, "headers": headers, "body": body},
    }


def test_forms_are_made_of_recordings_and_hold_nothing_of_their_contents(tmp_path: Path) -> None:
    body = {"genres": [{"id": 28, "name": "Secret"}]}
    etag = hashlib.sha256(b'{"genres":[{"id":28,"name":"Secret"}]}').hexdigest()[:32]
    headers = {"ETag": f'W/"{etag}"', "Content-Type": "json", "X-Cache": "Hit"}
    error = {"success": False, "status_code": 34, "status_message": "m"}
    files = {
        "200_genres.json": recording("/3/genre/movie/list", body, **headers),
        "404_movie.json": recording("/3/movie/1", error, 404),
        "2025-12_200_genres.json": recording("/3/genre/movie/list", {"other": 1}, ETag="x"),
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))

    assert forms(tmp_path) == {
        "answers": {
            "/3/genre/movie/list": {
                "headers": ["content-type", "etag"],
                "content-type": ["json"],
                "body": {"genres": [{"id": "int", "name": "str"}]},
                "most rows": 0,
            }
        },
        "errors": {"34": {"status": 404, "body": error}},
    }
    (tmp_path / "200_genres.json").write_text(json.dumps(recording("/3/genre/movie/list", {}, **headers)))
    with pytest.raises(ValueError, match="ETag"):
        forms(tmp_path)
