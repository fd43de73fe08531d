"""Requests to TMDB: bounded in time and rate, tried again where that helps, and read with suspicion."""

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import httpx
import orjson

from catalog.clients.tmdb.errors import (
    TmdbError,
    TmdbMalformedError,
    TmdbNotFoundError,
    TmdbRefusedError,
    TmdbRejectedError,
    TmdbThrottledError,
    TmdbTimeoutError,
    TmdbUnavailableError,
)
from catalog.clients.tmdb.models import (
    AdultMovieError,
    MoviePage,
    UnreadableRowError,
    parse_changed_ids,
    parse_genres,
    parse_movie,
    parse_movie_page,
)
from catalog.domain.movies import Movie
from chassis import context, tracing

_log = logging.getLogger(__name__)

_LANGUAGE = "en-US"
_MAX_BODY_BYTES = 4 * 1024 * 1024
# A Retry-After of 0 has been seen, and a very long one would stop everything.
_RETRY_AFTER_SECONDS = (1.0, 60.0)


class RequestBudget(Protocol):
    """Whatever spreads out all requests of this service to TMDB."""

    async def acquire(self) -> None:
        """Returns when one more request may be sent."""

    async def pause(self, seconds: float) -> None:
        """Lets nobody send anything for so long."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a caller waits: `tries` in all, each at most `seconds`, with pauses growing from `pause_seconds`."""

    tries: int = 4
    seconds: float = 10.0
    pause_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class GenreListing:
    """TMDB's list of genres and the entity tag that it came with."""

    names: Mapping[int, str]
    etag: str | None


class TmdbClient:
    """TMDB at `base_url` (ending in `/3`). Every method raises `TmdbError`."""

    def __init__(
        self,
        base_url: str,
        token: str,
        budget: RequestBudget,
        patience: Patience,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._budget = budget
        self._patience = patience
        self._client = httpx.AsyncClient(
            base_url=base_url,
            # The query form of the key would end up in logs.
            headers={"authorization": f"Bearer {token}", "accept": "application/json"},
            # One clock only, that of `_once`: where two run out in the same turn of the loop, which happens to a busy
            # process, a cancellation was seen to come out in place of a time-out.
            timeout=httpx.Timeout(None),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=20),
            follow_redirects=False,
            transport=transport,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def genres(self, etag: str | None) -> GenreListing | None:
        """The list of genres, or None when it is still the one that `etag` names."""
        answer = await self._get("/genre/movie/list", {"language": "en"}, etag)
        if answer is None:
            return None
        document, new_etag = answer
        return GenreListing(parse_genres(document), new_etag)

    async def discover(
        self,
        page: int,
        *,
        genre_id: int | None = None,
        released_from: date | None = None,
        released_to: date | None = None,
    ) -> MoviePage:
        """A page of the most popular movies, of one genre and of a span of release dates (inclusive) if given."""
        query: dict[str, str] = {
            "include_adult": "false",
            "include_video": "false",
            "language": _LANGUAGE,
            "page": str(page),
            "sort_by": "popularity.desc",
        }
        if genre_id is not None:
            query["with_genres"] = str(genre_id)
        if released_from is not None:
            query["primary_release_date.gte"] = released_from.isoformat()
        if released_to is not None:
            query["primary_release_date.lte"] = released_to.isoformat()
        return parse_movie_page(await self._document("/discover/movie", query))

    async def movie(self, movie_id: int) -> Movie:
        """One movie. Raises `TmdbNotFoundError` when TMDB has none with this id."""
        document = await self._document(f"/movie/{movie_id:d}", {"language": _LANGUAGE})
        try:
            return parse_movie(document)
        except AdultMovieError as error:
            raise TmdbNotFoundError(f"movie {movie_id}: {error}") from error
        except UnreadableRowError as error:
            raise TmdbMalformedError(f"movie {movie_id}: {error}") from error

    async def changed_ids(self, since: date, until: date, page: int) -> tuple[list[int], int]:
        """Ids of movies changed between two days (at most 14 apart), one page, and how many pages there are."""
        query = {"start_date": since.isoformat(), "end_date": until.isoformat(), "page": str(page)}
        return parse_changed_ids(await self._document("/movie/changes", query))

    async def _document(self, path: str, query: Mapping[str, str]) -> Any:
        answer = await self._get(path, query, None)
        if answer is None:
            raise TmdbMalformedError("an answer of 304 that was not asked for")
        return answer[0]

    async def _get(self, path: str, query: Mapping[str, str], etag: str | None) -> tuple[Any, str | None] | None:
        """The document at `path` and its tag, or None for 304; transient failures are tried again."""
        pause = self._patience.pause_seconds
        for attempt in range(1, self._patience.tries + 1):
            await self._budget.acquire()
            try:
                return await self._once(path, query, etag)
            except TmdbThrottledError as error:
                low, high = _RETRY_AFTER_SECONDS
                pause = max(pause, min(max(error.retry_after or low, low), high))
                if attempt == self._patience.tries:
                    raise
                # The limit is on all that we send, so everybody waits.
                await self._budget.pause(pause)
            except TmdbError as error:
                if not error.is_transient or attempt == self._patience.tries:
                    raise
                _log.warning("TMDB will be asked again", extra={"path": path, "reason": error.code, "attempt": attempt})
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret
            pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(self, path: str, query: Mapping[str, str], etag: str | None) -> tuple[Any, str | None] | None:
        headers = {"if-none-match": etag} if etag else {}
        try:
            # For the whole answer; the library's own time-out would start anew with every chunk.
            async with asyncio.timeout(self._patience.seconds):
                answer = await self._traced_get(path, query, headers)
        except TimeoutError as error:
            raise TmdbTimeoutError(f"no answer within {self._patience.seconds:g} s") from error
        except httpx.DecodingError as error:
            raise TmdbMalformedError("an answer whose content coding is broken") from error
        except httpx.HTTPError as error:
            raise TmdbUnavailableError(f"no connection ({type(error).__name__})") from error
        if answer.status_code == 304 and etag:
            return None
        _raise_for_status(answer)
        return _parse(answer), answer.headers.get("etag")

    async def _traced_get(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> httpx.Response:
        """One request below a span of its own, which TMDB is not told of: our trace is none of its business."""
        about = {"http.request.method": "GET", "url.path": path, "server.address": self._client.base_url.host}
        with tracing.sent(tracing.Kind.CLIENT, "GET", context.traceparent.get(), about) as span:
            answer = await self._client.get(path, params=dict(query), headers=dict(headers))
            if span is not None:
                span.describe({"http.response.status_code": answer.status_code})
            return answer


def _raise_for_status(answer: httpx.Response) -> None:
    status = answer.status_code
    if status == 200:
        return
    told = _status_message(answer)
    message = f"HTTP {status}{told}"
    if status in (401, 403):
        raise TmdbRefusedError(message)
    if status == 404:
        # Whoever stands between may not find TMDB itself; only TMDB can say that a movie is no more.
        raise TmdbNotFoundError(message) if told else TmdbMalformedError(message)
    if status == 429:
        raise TmdbThrottledError(message, _retry_after(answer.headers.get("retry-after")))
    if status >= 500 and status != 501:
        raise TmdbUnavailableError(message)
    raise TmdbRejectedError(message)


def _status_message(answer: httpx.Response) -> str:
    try:
        body = orjson.loads(answer.content)
        return f" (code {int(body['status_code'])}: {str(body['status_message'])[:120]})"
    except (ValueError, KeyError, TypeError):
        return ""


def _retry_after(value: str | None) -> float | None:
    return float(value) if value and value.isascii() and value.isdigit() else None


def _parse(answer: httpx.Response) -> Any:
    # TMDB's edge has served gzip without saying so, and HTML with status 200: both fail here, as they should.
    if len(answer.content) > _MAX_BODY_BYTES:
        raise TmdbMalformedError("an answer larger than any that is known")
    try:
        return orjson.loads(answer.content)
    except ValueError as error:
        raise TmdbMalformedError("an answer that is no JSON") from error
