"""Genres, and what a new list of them means for those we hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class GenreStatus(StrEnum):
    """`retired` says that TMDB no longer lists the genre; films and packages keep it."""

    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Genre:
    """A genre as we hold it; `revision` grows with every change of name or status."""

    id: int
    name: str
    status: GenreStatus
    movie_count: int
    revision: int
    created_at: datetime
    updated_at: datetime


class RefusedListingError(Exception):
    """The list cannot be the true one, so that what we hold stays as it is. The text says why."""


GenreNames = Mapping[int, str]
"""A list of genres: name by id."""


@dataclass(frozen=True, slots=True)
class GenreChanges:
    """What a new list changes: genres to store with their new name, and ids to retire."""

    added: dict[int, str] = field(default_factory=dict)
    renamed: dict[int, str] = field(default_factory=dict)
    restored: dict[int, str] = field(default_factory=dict)
    retired: dict[int, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.renamed or self.restored or self.retired)

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return {
            "added": len(self.added),
            "renamed": len(self.renamed),
            "restored": len(self.restored),
            "retired": len(self.retired),
        }


def compare(stored: Mapping[int, Genre], listed: GenreNames) -> GenreChanges:
    """What has to change for `stored` to be `listed`.

    Raises `RefusedListingError` for an empty list and for one without more than half of the active genres:
    a real change of TMDB's drops one or two, a broken answer drops most.
    """
    if not listed:
        raise RefusedListingError("the list of genres is empty")
    active = {genre.id for genre in stored.values() if genre.status is GenreStatus.ACTIVE}
    missing = active - listed.keys()
    if len(missing) * 2 > len(active):
        raise RefusedListingError(f"the list drops {len(missing)} of {len(active)} genres")
    changes = GenreChanges(retired={genre_id: stored[genre_id].name for genre_id in sorted(missing)})
    for genre_id, name in listed.items():
        known = stored.get(genre_id)
        if known is None:
            changes.added[genre_id] = name
        elif known.status is GenreStatus.RETIRED:
            changes.restored[genre_id] = name
        elif known.name != name:
            changes.renamed[genre_id] = name
    return changes
