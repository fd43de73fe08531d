"""What a person may see, as subscription-service last told us."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from catalog.domain.permission import Genres

FRESH_FOR = timedelta(seconds=60)
"""How long what we were told is used without asking again."""
USABLE_FOR = timedelta(minutes=15)
"""How long it is used while subscription-service cannot be asked."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Genres that one subscription gives until `valid_until` (exclusive; None: until it is cancelled)."""

    genre_ids: Genres
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Entitlements:
    """All grants of a user at `revision`; `confirmed_at` is the last moment at which that was known to hold.

    `etag` is subscription-service's tag of this very state, None when it came by an event.
    """

    user_id: uuid.UUID
    revision: int
    grants: tuple[Grant, ...]
    confirmed_at: datetime
    etag: str | None

    def genres_at(self, now: datetime) -> Genres:
        """The union of what has not expired: a grant ends by itself, without a message or a job."""
        return frozenset(
            genre
            for grant in self.grants
            if grant.valid_until is None or now < grant.valid_until
            for genre in grant.genre_ids
        )

    def is_fresh(self, now: datetime) -> bool:
        return now - self.confirmed_at < FRESH_FOR

    def is_usable(self, now: datetime) -> bool:
        return now - self.confirmed_at < USABLE_FOR


@dataclass(frozen=True, slots=True)
class Statement:
    """What an event or an answer of subscription-service says about a user."""

    user_id: uuid.UUID
    revision: int
    grants: tuple[Grant, ...]
    as_of: datetime
    etag: str | None = None
