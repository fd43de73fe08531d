"""What a user may see: the union of the genres of their active subscriptions."""

import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chassis.clock import to_rfc3339
from chassis.events.envelope import Event

ENTITLEMENTS_CHANGED = "subscription.entitlements.changed.v1"
BUCKETS = 256


@dataclass(frozen=True, slots=True)
class Grant:
    """The genres that one subscription gives until `valid_until` (None: until cancelled)."""

    subscription_id: uuid.UUID
    package_id: uuid.UUID
    package_name: str
    package_version: int
    genre_ids: tuple[int, ...]
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Entitlements:
    """All grants of a user that hold at one moment; `revision` grows with every change of them."""

    user_id: uuid.UUID
    revision: int
    grants: tuple[Grant, ...]

    @property
    def genre_ids(self) -> frozenset[int]:
        return frozenset(genre_id for grant in self.grants for genre_id in grant.genre_ids)

    @property
    def valid_until(self) -> datetime | None:
        """The earliest moment at which the union shrinks by expiry; None when it never does."""
        ends: dict[int, list[datetime | None]] = {}
        for grant in self.grants:
            for genre_id in grant.genre_ids:
                ends.setdefault(genre_id, []).append(grant.valid_until)
        # A genre lasts as long as the longest grant that gives it.
        finite = [max(end for end in given if end is not None) for given in ends.values() if None not in given]
        return min(finite, default=None)


def bucket_of(user_id: uuid.UUID) -> int:
    """The bucket in which a user is counted when two copies of all entitlements are compared."""
    return zlib.crc32(str(user_id).encode("ascii")) & (BUCKETS - 1)


def entitlements_data(entitlements: Entitlements) -> dict[str, object]:
    """The state as it travels: `data` of the event, and an item of the internal snapshot."""
    return {
        "userId": str(entitlements.user_id),
        "revision": entitlements.revision,
        "grants": [_grant_data(grant) for grant in entitlements.grants],
    }


def _grant_data(grant: Grant) -> dict[str, object]:
    return {
        "subscriptionId": str(grant.subscription_id),
        "packageId": str(grant.package_id),
        "packageVersion": grant.package_version,
        "genreIds": list(grant.genre_ids),
        "validUntil": None if grant.valid_until is None else to_rfc3339(grant.valid_until),
    }


def entitlements_changed(entitlements: Entitlements) -> Event:
    """The event that tells the full new state."""
    return Event(
        type=ENTITLEMENTS_CHANGED,
        source="/subscription",
        subject=f"entitlements/{entitlements.user_id}",
        data=entitlements_data(entitlements),
    )


@dataclass(frozen=True, slots=True)
class BucketDigest:
    """How many users a bucket counts and the sum of their revisions."""

    bucket: int
    count: int
    sum_revision: int


def full_digest(found: Sequence[BucketDigest]) -> list[BucketDigest]:
    """`found` with the empty buckets filled in, in order."""
    known = {digest.bucket: digest for digest in found}
    return [known.get(bucket, BucketDigest(bucket, 0, 0)) for bucket in range(BUCKETS)]
