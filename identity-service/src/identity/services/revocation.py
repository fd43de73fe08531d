"""Ending sessions and access tokens, and telling the gateways: the events go out with the same transaction."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.clock import to_rfc3339
from chassis.events.sql_outbox import SqlOutbox
from chassis.sql import Database, database_now
from chassis.tokens import LEEWAY_SECONDS, MAX_LIFETIME_SECONDS
from identity.domain.events import session_revoked, user_changed
from identity.domain.sessions import Session
from identity.domain.users import User
from identity.storage import revocations, sessions, users

_LEEWAY = timedelta(seconds=LEEWAY_SECONDS)
# An access token that is older than this is refused for its age, whatever else is known of it.
SNAPSHOT_WINDOW = timedelta(seconds=MAX_LIFETIME_SECONDS) + _LEEWAY * 2


def last_moment(session: Session) -> datetime:
    """Until when a verifier may accept the session's newest access token."""
    return session.access_expires_at + _LEEWAY


class Revocations:
    """Ends what has been issued. The methods with a session work in the caller's transaction."""

    def __init__(self, outbox: SqlOutbox) -> None:
        self._outbox = outbox

    async def end_session(self, session: AsyncSession, ended: Session, now: datetime) -> None:
        """End one session, whose row is locked."""
        await self._end(session, [ended], now)

    async def end_other_sessions(
        self, session: AsyncSession, user_id: uuid.UUID, kept: uuid.UUID, now: datetime
    ) -> None:
        """End every session of the user but one."""
        others = [each for each in await sessions.lock_open(session, user_id) if each.id != kept]
        await self._end(session, others, now)

    async def _end(self, session: AsyncSession, ended: Sequence[Session], now: datetime) -> None:
        await sessions.revoke_many(session, [each.id for each in ended], now)
        # Sessions without a living access token are of no interest to a gateway.
        alive = [each for each in ended if last_moment(each) > now]
        await self._outbox.append_many(session, [session_revoked(each, last_moment(each)) for each in alive])

    async def end_everything(self, session: AsyncSession, user: User, now: datetime) -> User:
        """End every session and every access token of the user; the account as it is now."""
        opened = await sessions.lock_open(session, user.id)
        await sessions.revoke_many(session, [each.id for each in opened], now)
        return await self.renew_tokens(session, user, now)

    async def renew_tokens(self, session: AsyncSession, user: User, now: datetime) -> User:
        """End the access tokens only: sessions go on, and their next token shows the account as it is now."""
        changed = await users.raise_generation(session, user.id, now)
        await self._outbox.append(session, user_changed(changed))
        return changed


class RevocationSnapshot:
    """What a gateway has to know at its start."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Mapping[str, Any]:
        """All that was ended and whose access tokens could still be valid, as of one moment."""
        return await self._database.read(self._read)

    async def _read(self, session: AsyncSession) -> Mapping[str, Any]:
        now = await database_now(session)
        since = now - SNAPSHOT_WINDOW
        ended = await revocations.list_ended_sessions(session, since)
        changed = await revocations.list_changed_users(session, since)
        deleted = await revocations.list_deleted_users(session, since)
        return {
            "sessions": [
                {"sid": str(each.id), "until": to_rfc3339(last_moment(each))}
                for each in ended
                if last_moment(each) > now
            ],
            "users": [
                *(
                    {"userId": str(user.id), "minVersion": user.token_version, "blocked": not user.is_active}
                    for user in changed
                ),
                *({"userId": str(user_id), "minVersion": None, "blocked": True} for user_id in deleted),
            ],
            "asOf": to_rfc3339(now),
        }
