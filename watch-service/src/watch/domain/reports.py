"""The report on what a user has watched, folded from tallies of their history."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Film:
    """A watched film, as far as deciding which was the last needs it."""

    movie_id: int
    title: str
    watched_at: datetime
    created_at: datetime

    @property
    def recency(self) -> tuple[datetime, datetime, int]:
        """Greater is more recent: latest `watchedAt`, then latest `createdAt`, then the higher id."""
        return self.watched_at, self.created_at, self.movie_id


@dataclass(frozen=True, slots=True)
class Tally:
    """A user's films with exactly the same genres: how many, and the most recent of them."""

    genre_ids: tuple[int, ...]
    films: int
    last: Film


@dataclass(frozen=True, slots=True)
class Theme:
    """A genre and how many of the films have it. "Theme" is the word for genre in reports only."""

    genre_id: int
    films: int


@dataclass(frozen=True, slots=True)
class Report:
    user_id: uuid.UUID
    films: int
    theme: Theme | None
    last: Film | None


@dataclass(frozen=True, slots=True)
class NamedReport:
    """A report with the present name of its theme."""

    report: Report
    theme_name: str | None


def compile_report(user_id: uuid.UUID, tallies: Iterable[Tally]) -> Report:
    """The report over all `tallies` of a user.

    A film counts once for each of its genres. A tie for the theme goes to the genre watched most recently,
    then to the lower id.
    """
    total = 0
    last: Film | None = None
    themes: dict[int, tuple[int, datetime]] = {}
    for tally in tallies:
        total += tally.films
        if last is None or tally.last.recency > last.recency:
            last = tally.last
        for genre_id in tally.genre_ids:
            films, watched_at = themes.get(genre_id, (0, tally.last.watched_at))
            themes[genre_id] = films + tally.films, max(watched_at, tally.last.watched_at)
    if not themes:
        return Report(user_id, total, None, last)
    top = max(themes, key=lambda genre_id: (*themes[genre_id], -genre_id))
    return Report(user_id, total, Theme(top, themes[top][0]), last)
