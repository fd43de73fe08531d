"""The form of recorded answers of TMDB, without what is in them: TMDB's terms let nobody keep that.

    python -m tmdb_simulator.recorded FOLDER > deploy/tmdb-simulator/tests/recorded-forms.json

FOLDER holds files `{"request": {"path", "query"} | null, "response": {"status", "headers" | null, "body"}}`. The tests
compare the simulator with the result.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# What is simulated. Older samples have no request or no headers, and other keys.
_ENDPOINTS = {
    "/3/genre/movie/list": re.compile(r"/3/genre/movie/list"),
    # The others are "really just a discover call behind the scenes" (developer.themoviedb.org/reference), and what a
    # search finds has the same rows.
    "/3/discover/movie": re.compile(r"/3/((discover|search)/movie|movie/(popular|top_rated|now_playing|upcoming))"),
    "/3/movie/{id}": re.compile(r"/3/movie/(\d+|latest)"),
    "/3/movie/changes": re.compile(r"/3/movie/changes"),
    "/3/configuration": re.compile(r"/3/configuration"),
}
# Those of these endpoints; others are about sessions.
_ERRORS = (7, 20, 22, 34)
# About the way an answer took through a content delivery network, and about the connection.
_OF_THE_WAY = {"connection", "x-gateway-cache-status", "x-az", "x-memc", "x-cache", "x-amz-cf-pop", "alt-svc"}


def form_of(value: Any) -> Any:
    """The form of a JSON value: an object's keys in order, each with its form; `[form of the elements]`; a type."""
    if isinstance(value, dict):
        return {key: form_of(member) for key, member in value.items()}
    if isinstance(value, list):
        merged: Any = None
        for form in map(form_of, value):
            merged = form if merged is None else merge(merged, form)
        return [] if merged is None else [merged]
    return "null" if value is None else type(value).__name__


def merge(one: Any, other: Any) -> Any:
    """The form of whatever has one form or the other. Raises ValueError for objects with other keys."""
    if _is_object(one) and _is_object(other):
        if list(one) != list(other):
            raise ValueError(f"keys {list(one)} and {list(other)}")
        return {key: merge(one[key], other[key]) for key in one}
    if isinstance(one, list) and isinstance(other, list):
        return [merge(one[0], other[0])] if one and other else one or other
    kinds = [*_alternatives(one), *(kind for kind in _alternatives(other) if kind not in _alternatives(one))]
    return kinds[0] if len(kinds) == 1 else {"one of": sorted(kinds, key=json.dumps)}


def fits(form: Any, recorded: Any) -> bool:
    """Whether everything of `form` has been seen in `recorded`: no other key, order or type. An empty list fits any."""
    if _is_object(form):
        return any(
            _is_object(seen) and list(seen) == list(form) and all(fits(form[key], seen[key]) for key in form)
            for seen in _alternatives(recorded)
        )
    if isinstance(form, list):
        return any(
            isinstance(seen, list) and (not form or (bool(seen) and fits(form[0], seen[0])))
            for seen in _alternatives(recorded)
        )
    return all(kind in _alternatives(recorded) for kind in _alternatives(form))


def _alternatives(form: Any) -> list[Any]:
    return form["one of"] if isinstance(form, dict) and list(form) == ["one of"] else [form]


def _is_object(form: Any) -> bool:
    return isinstance(form, dict) and list(form) != ["one of"]


def _form_of_answers(answers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What all of these answers have in common."""
    names: list[set[str]] = []
    values: dict[str, set[str]] = {}
    body: Any = None
    for answer in answers:
        headers = {name.lower(): str(value) for name, value in answer["headers"].items()}
        names.append(headers.keys() - _OF_THE_WAY)
        for name, value in headers.items():
            values.setdefault(name, set()).add(value)
        # Two of the lists name the dates that they are about besides.
        form = form_of({key: member for key, member in answer["body"].items() if key != "dates"})
        body = form if body is None else merge(body, form)
        compact = json.dumps(answer["body"], ensure_ascii=False, separators=(",", ":")).encode()
        if "etag" in headers and headers["etag"] != f'W/"{hashlib.sha256(compact).hexdigest()[:32]}"':
            raise ValueError("an ETag that is not the hash of its body")
    always = sorted(set.intersection(*names))
    return {
        "headers": always,
        "content-type": sorted(values["content-type"]),
        "body": body,
        "most rows": max((len(a["body"].get("results", ())) for a in answers), default=0),
    }


def forms(folder: Path) -> dict[str, Any]:
    """The forms of all recorded answers below `folder`: by endpoint, and TMDB's errors as they are."""
    found: dict[str, list[dict[str, Any]]] = {}
    errors: dict[str, Any] = {}
    # Those of other months, which have other keys, begin with the month.
    for path in sorted(folder.glob("[0-9][0-9][0-9]_*.json")):
        recorded = json.loads(path.read_bytes())
        answer, request = recorded["response"], recorded["request"]
        if answer["status"] >= 400 and answer["body"].get("status_code") in _ERRORS:
            errors[str(answer["body"]["status_code"])] = {"status": answer["status"], "body": answer["body"]}
        if request is None or not answer["headers"] or "etag" not in {name.lower() for name in answer["headers"]}:
            continue
        # What is appended to a film has keys of its own.
        if "append_to_response" in request["query"]:
            continue
        for endpoint, pattern in _ENDPOINTS.items():
            if answer["status"] == 200 and pattern.fullmatch(request["path"]):
                found.setdefault(endpoint, []).append(answer)
    return {
        "answers": {endpoint: _form_of_answers(answers) for endpoint, answers in sorted(found.items())},
        "errors": errors,
    }


if __name__ == "__main__":
    json.dump(forms(Path(sys.argv[1])), sys.stdout, indent=1)
    sys.stdout.write("\n")
