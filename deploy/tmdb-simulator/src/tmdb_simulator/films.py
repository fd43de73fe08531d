"""One film, read from a line of the film file and written as TMDB writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tmdb_simulator.genres import primary_language

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# TMDB ids are 32 bit.
MAX_ID = 2**31 - 1


class FilmError(ValueError):
    """A film, or the file of films, cannot be used."""


@dataclass(frozen=True, slots=True)
class Film:
    """A film with every key TMDB sends, absent ones filled in as TMDB fills them.

    Dates are `""` when unset and image paths None, never the other way round.
    `translations` maps an ISO 639-1 code to a title and an overview; `details` holds what only
    `/3/movie/{id}` shows.
    """

    id: int
    title: str
    original_title: str
    original_language: str
    release_date: str
    genre_ids: tuple[int, ...]
    popularity: float
    vote_average: float
    vote_count: int
    overview: str
    adult: bool
    softcore: bool
    video: bool
    backdrop_path: str | None
    poster_path: str | None
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def texts(self, language: str) -> tuple[str, str]:
        """Title and overview in a language.

        TMDB has no fallback: an untranslated overview is empty, an untranslated title is the
        original one.
        """
        primary = primary_language(language)
        if primary == "en":
            return self.title, self.overview
        translation = self.translations.get(primary, {})
        return translation.get("title") or self.original_title, translation.get("overview", "")

    def row(self, language: str) -> dict[str, Any]:
        """A row of a list, keys in TMDB's order (which the ETag depends on)."""
        title, overview = self.texts(language)
        return {
            "adult": self.adult,
            "backdrop_path": self.backdrop_path,
            "genre_ids": list(self.genre_ids),
            "id": self.id,
            "title": title,
            "original_language": self.original_language,
            "original_title": self.original_title,
            "overview": overview,
            "popularity": self.popularity,
            "poster_path": self.poster_path,
            "release_date": self.release_date,
            "softcore": self.softcore,
            "video": self.video,
            "vote_average": self.vote_average,
            "vote_count": self.vote_count,
        }

    def detail(self, language: str, genre_names: Mapping[int, str | None], today: date) -> dict[str, Any]:
        """The body of `/3/movie/{id}`; a genre no longer listed is not shown there."""
        title, overview = self.texts(language)
        unreleased = not self.release_date or self.release_date > today.isoformat()
        values: dict[str, Any] = {
            **_DETAIL_DEFAULTS,
            "status": "Planned" if unreleased else "Released",
            **self.details,
            **self.row(language),
            "title": title,
            "overview": overview,
            "genres": [{"id": genre, "name": genre_names[genre]} for genre in self.genre_ids if genre in genre_names],
        }
        return {key: values[key] for key in _DETAIL_KEYS}


_DETAIL_DEFAULTS: dict[str, Any] = {
    "belongs_to_collection": None,
    "budget": 0,
    "homepage": "",
    "imdb_id": None,
    "origin_country": [],
    "production_companies": [],
    "production_countries": [],
    "revenue": 0,
    "runtime": 0,
    "spoken_languages": [],
    "tagline": "",
}
_DETAIL_KEYS = (
    "adult",
    "backdrop_path",
    "belongs_to_collection",
    "budget",
    "genres",
    "homepage",
    "id",
    "imdb_id",
    "origin_country",
    "original_language",
    "original_title",
    "overview",
    "popularity",
    "poster_path",
    "production_companies",
    "production_countries",
    "release_date",
    "revenue",
    "runtime",
    "softcore",
    "spoken_languages",
    "status",
    "tagline",
    "title",
    "video",
    "vote_average",
    "vote_count",
)


def _read(source: Mapping[str, Any], key: str, kind: type | tuple[type, ...], default: Any) -> Any:
    value = source.get(key, default)
    # bool is an int to Python, never to TMDB.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise FilmError(f"{key} has the wrong type: {value!r}")
    return value


def _read_number(source: Mapping[str, Any], key: str) -> float:
    value = float(_read(source, key, (int, float), 0.0))
    if not 0 <= value < 1e9:
        raise FilmError(f"{key} is out of bounds: {value!r}")
    return value


def _read_date(source: Mapping[str, Any]) -> str:
    value: str = _read(source, "release_date", str, "")
    if value and not is_date(value):
        raise FilmError(f"release_date is not YYYY-MM-DD: {value!r}")
    return value


def _read_genre_ids(source: Mapping[str, Any]) -> tuple[int, ...]:
    genre_ids = _read(source, "genre_ids", list, [])
    if not all(isinstance(genre, int) and not isinstance(genre, bool) for genre in genre_ids):
        raise FilmError(f"genre_ids holds something else than integers: {genre_ids!r}")
    return tuple(genre_ids)


def _read_details(source: Mapping[str, Any]) -> dict[str, Any]:
    present = [key for key in (*_DETAIL_DEFAULTS, "status") if key in source]
    for key in present:
        default = _DETAIL_DEFAULTS.get(key, "")
        if default is not None:
            _read(source, key, type(default), default)
    return {key: source[key] for key in present}


def _read_translations(source: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    translations: dict[str, Any] = _read(source, "translations", dict, {})
    for language, texts in translations.items():
        if not isinstance(texts, dict) or not all(isinstance(t, str) for t in texts.values()):
            raise FilmError(f"translations.{language} is not an object of strings")
    return translations


def is_date(text: str) -> bool:
    """Whether a text is a real day written YYYY-MM-DD."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def parse_film(source: Any) -> Film:
    """A film from a decoded JSON object; only `id` and `title` are required.

    Raises FilmError for anything a JSON answer of TMDB could not hold.
    """
    if not isinstance(source, dict):
        raise FilmError("a film is not a JSON object")
    film_id = _read(source, "id", int, None)
    if not 0 < film_id <= MAX_ID:
        raise FilmError(f"id is out of bounds: {film_id!r}")
    title: str = _read(source, "title", str, None)
    try:
        json.dumps(source, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise FilmError(f"film {film_id} holds an unpaired surrogate") from None
    text_or_none = (str, type(None))
    return Film(
        id=film_id,
        title=title,
        original_title=_read(source, "original_title", str, title),
        original_language=_read(source, "original_language", str, "en"),
        release_date=_read_date(source),
        genre_ids=_read_genre_ids(source),
        popularity=_read_number(source, "popularity"),
        vote_average=_read_number(source, "vote_average"),
        vote_count=_read(source, "vote_count", int, 0),
        overview=_read(source, "overview", str, ""),
        adult=_read(source, "adult", bool, False),
        softcore=_read(source, "softcore", bool, False),
        video=_read(source, "video", bool, False),
        backdrop_path=_read(source, "backdrop_path", text_or_none, None),
        poster_path=_read(source, "poster_path", text_or_none, None),
        translations=_read_translations(source),
        details=_read_details(source),
    )


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, line


def load_films(path: Path) -> dict[int, Film]:
    """Films by id from a JSON Lines file, blank lines skipped.

    Raises FilmError naming the line that is no film or repeats an id, or the file that
    cannot be read.
    """
    films: dict[int, Film] = {}
    try:
        for number, line in _read_lines(path):
            try:
                film = parse_film(json.loads(line))
            except ValueError as error:
                raise FilmError(f"{path}, line {number}: {error}") from None
            if film.id in films:
                raise FilmError(f"{path}, line {number}: film {film.id} is there twice")
            films[film.id] = film
    except (OSError, UnicodeDecodeError) as error:
        raise FilmError(f"{path} cannot be read: {error}") from None
    return films
