"""Subscriptions: a user's access to one version of one package."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from chassis.errors import FieldError, InvalidRequestError
from chassis.pagination import PageRequest
from subscription.domain.genres import Genre

# One entitlements event carries all grants of a user and may be 256 KiB long; a grant takes about 400 bytes.
MAX_ACTIVE_SUBSCRIPTIONS = 500


class SubscriptionStatus(StrEnum):
    ACTIVE = "active"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription pinned to `package_version`; `package_name` and `genres` are those of that version.

    `status` is as seen at the moment of reading: a subscription whose `expires_at` has passed is expired,
    whether or not the row has been marked.
    """

    id: uuid.UUID
    user_id: uuid.UUID
    package_id: uuid.UUID
    package_name: str
    package_version: int
    genres: tuple[Genre, ...]
    status: SubscriptionStatus
    created_at: datetime
    expires_at: datetime | None
    cancelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class SubscriptionOrder:
    """What is asked for: a package for some users, until `expires_at` (None: until cancelled)."""

    package_id: uuid.UUID
    user_ids: tuple[uuid.UUID, ...]
    expires_at: datetime | None


class SubscriptionSortKey(StrEnum):
    CREATED_AT = "created_at"
    EXPIRES_AT = "ends_at"


@dataclass(frozen=True, slots=True)
class SubscriptionQuery:
    """Which subscriptions a list shows; no `user_id` means everybody's."""

    page: PageRequest
    user_id: uuid.UUID | None = None
    package_id: uuid.UUID | None = None
    status: SubscriptionStatus | None = None
    sort: SubscriptionSortKey = SubscriptionSortKey.CREATED_AT
    descending: bool = True


def require_future(expires_at: datetime | None, now: datetime) -> None:
    """Raises `InvalidRequestError` when a subscription would have expired before it begins.

    The last moment that can be stored stands for what never expires, so nothing ends then.
    """
    if expires_at is not None and expires_at <= now:
        raise InvalidRequestError(errors=[FieldError("/expiresAt", "must be in the future")])
    if expires_at is not None and expires_at >= datetime.max.replace(tzinfo=UTC):
        raise InvalidRequestError(errors=[FieldError("/expiresAt", "is too late; null stands for never")])
