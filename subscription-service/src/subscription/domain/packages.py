"""Packages and their immutable versions."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chassis.conditional import strong_etag
from chassis.pagination import PageRequest
from subscription.domain.genres import Genre


class PackageStatus(StrEnum):
    """`archived`: no new subscriptions and no edits, existing subscriptions go on."""

    ACTIVE = "active"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Package:
    """A package as its newest version (`version`, counting from 1) describes it; genres in ascending id."""

    id: uuid.UUID
    name: str
    description: str | None
    genres: tuple[Genre, ...]
    status: PackageStatus
    created_at: datetime
    updated_at: datetime
    version: int

    @property
    def genre_ids(self) -> frozenset[int]:
        return frozenset(genre.id for genre in self.genres)

    @property
    def etag(self) -> str:
        """Changes with everything that a representation shows, the names and states of genres included."""
        genres = [(genre.id, genre.name, genre.status.value) for genre in self.genres]
        return strong_etag(
            self.id,
            self.version,
            self.status.value,
            self.created_at,
            self.updated_at,
            self.name,
            self.description,
            genres,
        )


@dataclass(frozen=True, slots=True)
class PackageVersion:
    """One version; only the names of its genres can change, when the catalog renames them."""

    package_id: uuid.UUID
    version: int
    name: str
    description: str | None
    genres: tuple[Genre, ...]
    created_at: datetime
    created_by: uuid.UUID


@dataclass(frozen=True, slots=True)
class PackageDraft:
    """What a version is made of; `genre_ids` in the order of the request, so that errors can point into it."""

    name: str
    description: str | None
    genre_ids: tuple[int, ...]

    def same_as(self, package: "Package") -> bool:
        """Whether the package is made of just this already; the order of genres means nothing."""
        mine = (self.name, self.description, frozenset(self.genre_ids))
        return mine == (package.name, package.description, package.genre_ids)


class Unchanged:
    """The type of `UNCHANGED`, which differs from None because None clears a description."""


UNCHANGED = Unchanged()


@dataclass(frozen=True, slots=True)
class PackageEdit:
    """What an edit asks for."""

    name: str | Unchanged = UNCHANGED
    description: str | Unchanged | None = UNCHANGED
    genre_ids: tuple[int, ...] | Unchanged = UNCHANGED
    apply_to_subscribers: bool = False

    def applied_to(self, package: Package) -> PackageDraft:
        """What the package would be made of after this edit."""
        return PackageDraft(
            name=package.name if isinstance(self.name, Unchanged) else self.name,
            description=package.description if isinstance(self.description, Unchanged) else self.description,
            genre_ids=tuple(package.genre_ids) if isinstance(self.genre_ids, Unchanged) else self.genre_ids,
        )

    def next_version(self, package: Package) -> PackageDraft | None:
        """The version that this edit makes; None when it changes nothing."""
        draft = self.applied_to(package)
        return None if draft.same_as(package) else draft


@dataclass(frozen=True, slots=True)
class EditPreview:
    """What an edit would do. The two counts add up to the package's active subscribers.

    `etag` is that of the package as it is, for the edit that may follow.
    """

    etag: str
    version: int
    genres_added: tuple[Genre, ...]
    genres_removed: tuple[Genre, ...]
    subscribers_moved: int
    subscribers_kept: int


class PackageSortKey(StrEnum):
    NAME = "name"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


@dataclass(frozen=True, slots=True)
class PackageQuery:
    """Which packages a list shows. `holder` limits archived ones to those this user is subscribed to."""

    page: PageRequest
    name: str | None = None
    genre_ids: frozenset[int] = frozenset()
    status: PackageStatus | None = None
    sort: PackageSortKey = PackageSortKey.NAME
    descending: bool = False
    holder: uuid.UUID | None = None
