"""TMDB's answers, read with care: rows come without keys, with nulls and with text where a number belongs.

Nothing is guessed. A row that cannot be read is left out and counted, so that it never replaces a good one.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from catalog.clients.tmdb.errors import TmdbMalformedError
from catalog.domain.movies import Movie

LAST_PAGE = 500
"""TMDB refuses pages beyond (https://developer.themoviedb.org/docs/errors, code 22)."""

_MAX_ID = 2**31 - 1
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_POSTER = re.compile(r"/[\w.-]{1,200}", re.ASCII)


class UnreadableRowError(ValueError):
    """A row that is no movie."""


class AdultMovieError(UnreadableRowError):
    """A movie that the lists leave out because we ask for that; a single one cannot be asked for like that."""


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 < value <= _MAX_ID


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise UnreadableRowError("a figure is no number")
    return float(value)


def _text(row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = row.get(name, default)
    if not isinstance(value, str):
        raise UnreadableRowError(f"'{name}' is no text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnreadableRowError(f"'{name}' holds half a character") from error
    return value


def _date(value: Any) -> date | None:
    # TMDB writes "" for "none", and some rows lack the key.
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise UnreadableRowError("its release date is no date")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise UnreadableRowError("its release date does not exist") from error


def _genre_ids(row: Mapping[str, Any]) -> tuple[int, ...]:
    ids = row.get("genre_ids")
    if ids is None and isinstance(row.get("genres"), list):
        ids = [genre.get("id") if isinstance(genre, dict) else None for genre in row["genres"]]
    # Missing or an object (both have been seen) says nothing about the genres; taking it for "none" would hide films.
    if not isinstance(ids, list) or not all(map(_is_id, ids)):
        raise UnreadableRowError("its genres are unknown")
    return tuple(dict.fromkeys(ids))


def parse_movie(row: Any) -> Movie:
    """The movie in a row of a list or in a details answer. Raises `UnreadableRowError`."""
    if not isinstance(row, dict) or not _is_id(row.get("id")):
        raise UnreadableRowError("its id is missing")
    if row.get("adult") is True:
        raise AdultMovieError("it is for adults")
    title = _text(row, "title").strip()
    if not title:
        raise UnreadableRowError("its title is missing")
    votes = row.get("vote_count")
    if type(votes) is not int or votes < 0:
        raise UnreadableRowError("a figure is no number")
    poster = row.get("poster_path")
    return Movie(
        id=row["id"],
        title=title,
        original_title=_text(row, "original_title", title).strip() or title,
        original_language=_text(row, "original_language").strip().lower(),
        overview=_text(row, "overview", ""),
        release_date=_date(row.get("release_date")),
        genre_ids=_genre_ids(row),
        popularity=_number(row.get("popularity")),
        vote_average=min(_number(row.get("vote_average")), 10.0),
        vote_count=votes,
        poster_path=poster if isinstance(poster, str) and _POSTER.fullmatch(poster) else None,
    )


@dataclass(frozen=True, slots=True)
class MoviePage:
    """One page of movies: those that could be read, and how many could not."""

    movies: Sequence[Movie]
    skipped: int
    total_pages: int
    total_results: int


def _page_of(document: Any) -> tuple[list[Any], int, int]:
    if not isinstance(document, dict) or not isinstance(document.get("results"), list):
        raise TmdbMalformedError("a page without a list of results")
    pages, results = document.get("total_pages"), document.get("total_results")
    if type(pages) is not int or type(results) is not int or pages < 0 or results < 0:
        raise TmdbMalformedError("a page without its totals")
    return document["results"], min(pages, LAST_PAGE), results


def parse_movie_page(document: Any) -> MoviePage:
    """A page of discover. Raises `TmdbMalformedError` when it is none."""
    rows, pages, results = _page_of(document)
    movies = []
    for row in rows:
        try:
            movies.append(parse_movie(row))
        except UnreadableRowError:
            continue
    return MoviePage(movies, len(rows) - len(movies), pages, results)


def parse_changed_ids(document: Any) -> tuple[list[int], int]:
    """Ids of changed movies on a page, and how many pages there are. A row without an id is left out."""
    rows, pages, _ = _page_of(document)
    return [row["id"] for row in rows if isinstance(row, dict) and _is_id(row.get("id"))], pages


def parse_genres(document: Any) -> dict[int, str]:
    """The list of genres: name by id. Raises `TmdbMalformedError` for anything but a list of distinct, named genres."""
    rows = document.get("genres") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise TmdbMalformedError("no list of genres")
    names: dict[int, str] = {}
    for row in rows:
        name = row.get("name") if isinstance(row, dict) else None
        if not isinstance(name, str) or not name.strip() or not _is_id(row.get("id")):
            raise TmdbMalformedError("a genre without an id or a name")
        if row["id"] in names:
            raise TmdbMalformedError("a genre that is listed twice")
        names[row["id"]] = name.strip()
    return names
