"""Moves of subscribers: existing subscriptions of a package brought forward to a newer version."""

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubscriberMove:
    """A recorded move to `to_version`; `is_finished` once nobody is left on an older version."""

    id: uuid.UUID
    package_id: uuid.UUID
    from_version: int
    to_version: int
    moved: int
    is_finished: bool
