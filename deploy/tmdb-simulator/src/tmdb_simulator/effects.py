"""What each fault does to an answer."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tmdb_simulator.discover import PageFault
from tmdb_simulator.errors import BY_STATUS
from tmdb_simulator.faults import Hit
from tmdb_simulator.wire import respond_error, respond_html

Payload = dict[str, Any]


async def answer_instead(request: Request, hits: Iterable[Hit], closing: asyncio.Event) -> Response | None:
    """Wait as `slow` says; the response of the first fault that replaces the true one.

    `closing` ends every wait, so that a fault does not hold up the end of the process.
    """
    for hit in hits:
        match hit.kind:
            case "slow":
                with suppress(TimeoutError):
                    await asyncio.wait_for(closing.wait(), hit.options["seconds"])
            case "error":
                return _error(hit.options)
            case "html":
                return respond_html(hit.options["status"])
            case "hang":
                return await _hang(request, hit.options["after_headers"], closing)
    return None


def _error(options: Mapping[str, Any]) -> Response:
    retry_after = options["retry_after"]
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return respond_error(BY_STATUS[options["status"]], headers)


async def _hang(request: Request, after_headers: bool, closing: asyncio.Event) -> Response:
    if after_headers:
        beginning = _beginning_only(request, closing)
        return StreamingResponse(beginning, 200, media_type="application/json")
    await _abandoned(request, closing)
    # 499, nginx's number for a client that went away, is only ever seen in the log.
    return respond_html(503 if closing.is_set() else 499)


async def _beginning_only(request: Request, closing: asyncio.Event) -> AsyncIterator[bytes]:
    yield b'{"page":1,'
    await _abandoned(request, closing)


async def _abandoned(request: Request, closing: asyncio.Event) -> None:
    """Wait until the client goes away or the process ends."""
    waits = {asyncio.ensure_future(_disconnected(request)), asyncio.ensure_future(closing.wait())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _disconnected(request: Request) -> bool:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return True


def page_fault(hits: Iterable[Hit]) -> PageFault | None:
    """How the page of a discover answer is to be wrong; None when no fault asks for it."""
    repeated, shift, found = 0, 0, False
    for hit in hits:
        if hit.kind == "duplicated-rows":
            repeated, found = hit.options["rows"], True
        elif hit.kind == "drifting-pages":
            # The first request sees the true list, each later one a list that has moved on.
            shift, found = hit.options["shift"] * (hit.ordinal - 1), True
    return PageFault(repeated, shift) if found else None


def change_payload(payload: Payload, hits: Iterable[Hit]) -> Payload:
    """The payload after every fault that changes its meaning; the argument stays as it was."""
    changers = [(PAYLOAD_EFFECTS[hit.kind], hit) for hit in hits if hit.kind in PAYLOAD_EFFECTS]
    if changers:
        payload = deepcopy(payload)
    for change, hit in changers:
        change(payload, hit.options)
    return payload


def break_bytes(raw: bytes, hits: Iterable[Hit]) -> bytes | None:
    """The bytes to send in place of a body, or None when no fault breaks it."""
    for hit in hits:
        if hit.kind == "gzip-without-header":
            return gzip.compress(raw, mtime=0)
        if hit.kind == "truncated-json":
            return raw[: len(raw) // 2]
    return None


# Rows that clients have met or must survive: research on TMDB lists null ids, rows of another
# kind and missing keys.
_MALFORMATIONS: Final[tuple[Callable[[Payload], Any], ...]] = (
    lambda row: None,
    lambda row: {key: value for key, value in row.items() if key != "id"},
    lambda row: {**row, "id": None},
    lambda row: {**row, "id": f"tt{row['id']}"},
    lambda row: {**row, "title": None, "original_title": None},
    lambda row: {**row, "popularity": "high", "vote_count": -1.5},
    lambda row: {**row, "release_date": "soon"},
    lambda row: {"id": row["id"], "media_type": "collection", "name": "A collection"},
    lambda row: {**row, "genre_ids": ["28", None]},
    lambda row: "not a row",
)


def _malform_rows(payload: Payload, options: Mapping[str, Any]) -> None:
    if "results" not in payload:
        if "id" in payload:
            payload.update({"id": None, "title": None, "release_date": 0, "genres": None})
        return
    rows = payload["results"]
    for turn, index in enumerate(range(0, len(rows), options["every"])):
        rows[index] = _MALFORMATIONS[turn % len(_MALFORMATIONS)](rows[index])


def _each_film(payload: Payload, every: int) -> Iterable[tuple[Payload, str]]:
    if "results" in payload:
        rows = payload["results"][::every]
        return [(row, "genre_ids") for row in rows if isinstance(row, dict)]
    return [(payload, "genres")] if "id" in payload else []


def _drop_genre_ids(payload: Payload, options: Mapping[str, Any]) -> None:
    for film, key in _each_film(payload, options["every"]):
        film.pop(key, None)


def _make_genre_ids_object(payload: Payload, options: Mapping[str, Any]) -> None:
    for film, key in _each_film(payload, options["every"]):
        if key in film:
            film[key] = {}


def _is_genre_list(payload: Payload) -> bool:
    return set(payload) == {"genres"}


def _empty_genres(payload: Payload, _options: Mapping[str, Any]) -> None:
    if _is_genre_list(payload):
        payload["genres"] = []


def _shrink_genres(payload: Payload, options: Mapping[str, Any]) -> None:
    if _is_genre_list(payload):
        payload["genres"] = payload["genres"][: options["keep"]]


def _rename_genres(payload: Payload, options: Mapping[str, Any]) -> None:
    if _is_genre_list(payload):
        for genre in payload["genres"]:
            genre["name"] = options["names"].get(str(genre["id"]), genre["name"])


def _add_genre(payload: Payload, options: Mapping[str, Any]) -> None:
    if _is_genre_list(payload):
        payload["genres"].append(dict(options["genre"]))


PAYLOAD_EFFECTS: Final[Mapping[str, Callable[[Payload, Mapping[str, Any]], None]]] = {
    "malformed-rows": _malform_rows,
    "genre-ids-missing": _drop_genre_ids,
    "genre-ids-object": _make_genre_ids_object,
    "genres-empty": _empty_genres,
    "genres-shrunken": _shrink_genres,
    "genres-renamed": _rename_genres,
    "genres-extra": _add_genre,
}
