"""The endpoints of TMDB: authentication, caching and faults around each answer."""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from tmdb_simulator.catalogue import Catalogue, now, today
from tmdb_simulator.changes import page_of_changes
from tmdb_simulator.configuration import CONFIGURATION
from tmdb_simulator.discover import Discovery, PageFault
from tmdb_simulator.effects import (
    answer_instead,
    break_bytes,
    change_payload,
    page_fault,
)
from tmdb_simulator.errors import (
    INVALID_KEY,
    METHOD_NOT_SUPPORTED,
    NOT_FOUND,
    TmdbError,
)
from tmdb_simulator.faults import FaultRegistry, Hit
from tmdb_simulator.films import MAX_ID
from tmdb_simulator.request_log import RequestLog
from tmdb_simulator.wire import Body, respond_body, respond_bytes, respond_error

# Seconds, of the order seen on recorded answers.
_LIST_AGE: Final = 14_400
_CHANGES_AGE: Final = 600
_PAST_CHANGES_AGE: Final = 86_400
_CACHED_BODIES: Final = 1024


class Answer(NamedTuple):
    """A payload and how long, in seconds, it may be cached."""

    payload: dict[str, Any]
    max_age: int = _LIST_AGE


class TmdbApi:
    """Answers every request below `/3/`.

    `closing`, once set, ends the waits that faults have made.
    """

    def __init__(self, catalogue: Catalogue, faults: FaultRegistry, log: RequestLog, token: str | None) -> None:
        self._catalogue = catalogue
        self._discovery = Discovery(catalogue)
        self._faults = faults
        self._log = log
        self._token = token
        self._bodies: OrderedDict[tuple[str, bytes], Body] = OrderedDict()
        self._bodies_revision = catalogue.revision
        self.closing = asyncio.Event()

    async def handle(self, request: Request) -> Response:
        """Answer one request and log it."""
        path: str = request.scope["path"]
        query = dict(request.query_params)
        conditional = "If-None-Match" in request.headers
        entry = self._log.start(request.method, path, query, conditional=conditional)
        hits = self._faults.claim(path, query)
        entry.faults = [hit.kind for hit in hits]
        response = await answer_instead(request, hits, self.closing)
        if response is None:
            response = self._respond(request, path, query, hits)
        entry.status = response.status_code
        return response

    def _respond(self, request: Request, path: str, query: Mapping[str, str], hits: list[Hit]) -> Response:
        if not self._is_authorised(request, query):
            return respond_error(INVALID_KEY)
        if request.method not in ("GET", "HEAD"):
            return respond_error(METHOD_NOT_SUPPORTED)
        try:
            body = self._faulty_body(path, query, hits) if hits else self._body(request, path, query)
        except TmdbError as error:
            return respond_error(error.kind)
        if (broken := break_bytes(body.raw, hits)) is not None:
            return respond_bytes(body, broken)
        return respond_body(request, body)

    def _is_authorised(self, request: Request, query: Mapping[str, str]) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        credential = bearer.strip() if scheme.lower() == "bearer" else query.get("api_key", "")
        if self._token is None:
            return bool(credential)
        return hmac.compare_digest(credential.encode(), self._token.encode())

    def _faulty_body(self, path: str, query: Mapping[str, str], hits: list[Hit]) -> Body:
        answer = self._answer(path, query, page_fault(hits))
        return Body(change_payload(answer.payload, hits), answer.max_age)

    def _body(self, request: Request, path: str, query: Mapping[str, str]) -> Body:
        if path == "/3/movie/changes":
            # Depends on the time as well, so it is never kept.
            return Body(*self._answer(path, query, None))
        if self._bodies_revision != self._catalogue.revision:
            self._bodies_revision = self._catalogue.revision
            self._bodies.clear()
        key = (path, request.scope["query_string"])
        if (body := self._bodies.get(key)) is None:
            body = self._bodies[key] = Body(*self._answer(path, query, None))
            if len(self._bodies) > _CACHED_BODIES:
                self._bodies.popitem(last=False)
        return body

    def _answer(self, path: str, query: Mapping[str, str], fault: PageFault | None) -> Answer:
        match path:
            case "/3/discover/movie":
                return Answer(self._discovery.page(query, fault))
            case "/3/genre/movie/list":
                return Answer(self._genre_list(query.get("language") or "en"))
            case "/3/configuration":
                return Answer(CONFIGURATION)
            case "/3/movie/changes":
                return self._changes(query)
        if path.startswith("/3/movie/"):
            return Answer(self._movie(path.removeprefix("/3/movie/"), query))
        raise TmdbError(NOT_FOUND)

    def _genre_list(self, language: str) -> dict[str, Any]:
        names = self._catalogue.genre_names(language)
        return {"genres": [{"id": genre, "name": name} for genre, name in names.items()]}

    def _changes(self, query: Mapping[str, str]) -> Answer:
        past = query.get("end_date", "9999") < today().isoformat()
        payload = page_of_changes(self._catalogue, query, now())
        return Answer(payload, _PAST_CHANGES_AGE if past else _CHANGES_AGE)

    def _movie(self, identifier: str, query: Mapping[str, str]) -> dict[str, Any]:
        if not identifier.isascii() or not identifier.isdigit() or len(identifier) > 10:
            raise TmdbError(NOT_FOUND)
        film = self._catalogue.find_film(min(int(identifier), MAX_ID))
        if film is None:
            raise TmdbError(NOT_FOUND)
        language = query.get("language") or "en-US"
        names = self._catalogue.genre_names(language)
        english = self._catalogue.genres()
        # Unlike the list, a film's genres fall back to English.
        names = {genre: name or english[genre] for genre, name in names.items()}
        return film.detail(language, names, today())
