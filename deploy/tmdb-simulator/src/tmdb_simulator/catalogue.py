"""Everything the simulator knows about films and genres, in memory, and what changed when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

from tmdb_simulator.films import Film
from tmdb_simulator.genres import ENGLISH, TRANSLATIONS, primary_language


class Catalogue:
    """Films, genres and the change feed.

    `revision` grows with every change, so that a cache can tell whether it is stale.
    """

    def __init__(self, films: Mapping[int, Film]) -> None:
        self._films = dict(films)
        self._genres = dict(ENGLISH)
        self._changed: dict[int, datetime] = {}
        self.revision = 0

    def __len__(self) -> int:
        return len(self._films)

    def films(self) -> Iterable[Film]:
        """All films, in no order to be relied on."""
        return self._films.values()

    def find_film(self, film_id: int) -> Film | None:
        """The film of that id, or None."""
        return self._films.get(film_id)

    def put_film(self, film: Film, changed: datetime) -> bool:
        """Add or replace a film; tells whether it is new."""
        is_new = film.id not in self._films
        self._films[film.id] = film
        self._touch(film.id, changed)
        return is_new

    def remove_film(self, film_id: int, changed: datetime) -> bool:
        """Remove a film; tells whether it was there."""
        if self._films.pop(film_id, None) is None:
            return False
        self._touch(film_id, changed)
        return True

    def _touch(self, film_id: int, changed: datetime) -> None:
        self._changed[film_id] = changed
        self.revision += 1

    def changes(self, start: datetime, end: datetime) -> list[int]:
        """Ids of the films whose last change lies in [start, end), latest first."""
        within = [(when, film) for film, when in self._changed.items() if start <= when < end]
        return [film for _, film in sorted(within, reverse=True)]

    def genres(self) -> dict[int, str]:
        """English genre names by id, in the order of the list."""
        return dict(self._genres)

    def put_genres(self, genres: Mapping[int, str]) -> None:
        """Replace the list of genres."""
        self._genres = dict(genres)
        self.revision += 1

    def genre_names(self, language: str) -> dict[int, str | None]:
        """Genre names in a language; None where TMDB has no translation (it does not fall back)."""
        primary = primary_language(language)
        if primary == "en":
            return dict(self._genres)
        # A name changed at run time has no translation of its own.
        translations = TRANSLATIONS.get(primary, {})
        return {genre: translations.get(genre) for genre in self._genres}


def now() -> datetime:
    """The current time, UTC."""
    return datetime.now(UTC)


def today() -> date:
    """The current day, UTC, which is TMDB's."""
    return now().date()
