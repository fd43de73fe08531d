"""Sessions: what begins with a login and ends with a logout, and the rule for refreshing one."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from identity.domain.users import User


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from, as far as we can tell."""

    ip: str
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Session:
    """One login and everything refreshed from it.

    `expires_at` is the absolute end; `access_expires_at` is when its newest access token expires.
    """

    id: uuid.UUID
    user_id: uuid.UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    access_expires_at: datetime
    revoked_at: datetime | None
    user_agent: str | None
    ip: str


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A stored refresh token; `successor_used` says whether the token that replaced it has been used as well."""

    session_id: uuid.UUID
    expires_at: datetime
    used_at: datetime | None
    successor_used: bool


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client gets: both tokens and the access token's lifetime in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user and the live session that the request belongs to, as the database has them now."""

    user: User
    session: Session


class RefreshVerdict(Enum):
    ROTATE = auto()
    CONFLICT = auto()
    REPLAY = auto()
    REFUSE = auto()


def judge_refresh(
    token: RefreshToken, session: Session, now: datetime, presented: datetime, race_window: timedelta
) -> RefreshVerdict:
    """What to do `now` with a refresh token that arrived at `presented` (RFC 9700, section 4.14.2).

    A used token means that two parties hold it, so the session ends. One exception: within `race_window` of
    its use the immediate predecessor of the live token is a race between a client's own requests; it gets a
    conflict, which gives a thief nothing, because nothing is minted.
    """
    if session.revoked_at is not None or now >= session.expires_at:
        return RefreshVerdict.REFUSE
    if token.used_at is not None:
        raced = not token.successor_used and presented - token.used_at < race_window
        return RefreshVerdict.CONFLICT if raced else RefreshVerdict.REPLAY
    return RefreshVerdict.REFUSE if now >= token.expires_at else RefreshVerdict.ROTATE
