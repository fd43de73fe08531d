"""Asking catalog-service whether the caller may see a movie, with the caller's own token."""

import logging
from datetime import date
from typing import Annotated

import httpx
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from chassis.deadlines import within
from chassis.http import Peer, PeerUnavailableError
from watch.clients.breaker import CircuitBreaker
from watch.domain.errors import MovieNotFoundError, MovieNotInYourGenresError
from watch.domain.history import Genre, Movie

_log = logging.getLogger(__name__)

_DETAIL = "The catalog cannot say at the moment whether you may see this movie; nothing was stored. Try again shortly."
_Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class _Answer(BaseModel):
    """What we read of the catalog's answers; members that we do not need are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, alias_generator=to_camel)


class _Genre(_Answer):
    id: int = Field(ge=1)
    name: _Name


class _Movie(_Answer):
    id: int = Field(ge=1)
    title: _Name
    release_date: date | None
    genres: list[_Genre] = Field(max_length=100)


class _Problem(_Answer):
    code: str


def _unusable(reason: str) -> PeerUnavailableError:
    _log.error("catalog's answer cannot be used", extra={"reason": reason})
    return PeerUnavailableError(_DETAIL)


def _problem_code(answer: httpx.Response) -> str | None:
    try:
        return _Problem.model_validate_json(answer.content).code
    except ValidationError:
        return None


def _read(answer: httpx.Response, movie_id: int) -> Movie:
    """The movie in `answer`; anything but a clear yes or no is no answer."""
    if answer.status_code == httpx.codes.OK:
        try:
            movie = _Movie.model_validate_json(answer.content)
        except ValidationError as error:
            raise _unusable(f"{error.error_count()} members of the movie are not as agreed") from error
        if movie.id != movie_id:
            raise _unusable("another movie than the one asked for")
        genres = {genre.id: Genre(genre.id, genre.name) for genre in movie.genres}
        return Movie(movie.id, movie.title, movie.release_date, tuple(genres.values()))
    code = _problem_code(answer)
    if (answer.status_code, code) == (httpx.codes.FORBIDDEN, MovieNotInYourGenresError.code):
        raise MovieNotInYourGenresError
    if (answer.status_code, code) == (httpx.codes.NOT_FOUND, MovieNotFoundError.code):
        raise MovieNotFoundError
    raise _unusable(f"status {answer.status_code}, code {code}")


class CatalogClient:
    """The catalog's decision on one movie. `timeout_seconds` bounds all tries together."""

    def __init__(self, peer: Peer, breaker: CircuitBreaker, *, timeout_seconds: float) -> None:
        self._peer = peer
        self._breaker = breaker
        self._timeout_seconds = timeout_seconds

    async def get_movie(self, movie_id: int, token: str) -> Movie:
        """The movie, which the holder of `token` may see.

        Raises `MovieNotInYourGenresError`, `MovieNotFoundError`, or `PeerUnavailableError` when the catalog
        does not answer in time or not with one of these three.
        """
        async with self._breaker.guard():
            answer = await self._ask(f"/v1/movies/{movie_id}", token)
        return _read(answer, movie_id)

    async def _ask(self, path: str, token: str) -> httpx.Response:
        try:
            # Late tries end by their own limits: a clock around httpx's would race with them to cancel this request.
            return await within(self._timeout_seconds, self._peer.get(path, token=token))
        except TimeoutError as error:
            _log.warning("catalog does not answer in time")
            raise PeerUnavailableError(_DETAIL) from error
        except PeerUnavailableError as error:
            raise PeerUnavailableError(_DETAIL) from error
