"""Keys that sign access tokens, as they are stored."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key as the database has it; `number` counts keys and makes a second rotation at once impossible.

    Published from `created_at`, active from `activates_at`, retiring from the next key's activation, gone from
    the key set at `removes_at`.
    """

    kid: str
    number: int
    public_jwk: dict[str, Any]
    wrapped_private_key: bytes = field(repr=False)
    created_at: datetime
    activates_at: datetime
    removes_at: datetime | None
