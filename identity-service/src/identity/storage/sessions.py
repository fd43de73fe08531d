"""Sessions and refresh tokens in MySQL."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.pagination import PageRequest, Slice
from identity.domain.sessions import Caller, RefreshToken, Session
from identity.storage.tables import refresh_tokens, sessions, users
from identity.storage.users import to_user


def to_session(row: Row[Any]) -> Session:
    """The session in a row of `sessions`."""
    return Session(
        id=row.id,
        user_id=row.user_id,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        access_expires_at=row.access_expires_at,
        revoked_at=row.revoked_at,
        user_agent=row.user_agent,
        ip=row.ip,
    )


async def add(session: AsyncSession, started: Session) -> None:
    await session.execute(
        insert(sessions).values(
            id=started.id,
            user_id=started.user_id,
            created_at=started.created_at,
            last_used_at=started.last_used_at,
            expires_at=started.expires_at,
            access_expires_at=started.access_expires_at,
            user_agent=started.user_agent,
            ip=started.ip,
        )
    )


async def find(session: AsyncSession, session_id: uuid.UUID) -> Session | None:
    row = (await session.execute(select(sessions).where(sessions.c.id == session_id))).one_or_none()
    return None if row is None else to_session(row)


async def lock(session: AsyncSession, session_id: uuid.UUID) -> Session | None:
    """The session, locked until the end of the transaction."""
    statement = select(sessions).where(sessions.c.id == session_id).with_for_update()
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else to_session(row)


async def find_caller(session: AsyncSession, session_id: uuid.UUID, user_id: uuid.UUID) -> Caller | None:
    """The session and its user, if they belong together."""
    started = await find(session, session_id)
    if started is None or started.user_id != user_id:
        return None
    row = (await session.execute(select(users).where(users.c.id == user_id))).one_or_none()
    return None if row is None else Caller(to_user(row), started)


async def touch(session: AsyncSession, session_id: uuid.UUID, now: datetime, access_expires_at: datetime) -> None:
    """Note that the session was used and until when its newest access token is valid."""
    await session.execute(
        update(sessions)
        .where(sessions.c.id == session_id)
        .values(last_used_at=now, access_expires_at=access_expires_at)
    )


def _live(user_id: uuid.UUID, now: datetime, idle_since: datetime) -> Any:
    return and_(
        sessions.c.user_id == user_id,
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > now,
        sessions.c.last_used_at > idle_since,
    )


async def list_live(
    session: AsyncSession, user_id: uuid.UUID, now: datetime, idle_since: datetime, page: PageRequest
) -> Slice[Session]:
    """The user's sessions that can still be refreshed, newest first."""
    live = _live(user_id, now, idle_since)
    total = (await session.execute(select(func.count()).select_from(sessions).where(live))).scalar_one()
    rows = await session.execute(
        select(sessions)
        .where(live)
        .order_by(sessions.c.created_at.desc(), sessions.c.id)
        .limit(page.size)
        .offset(page.offset)
    )
    return Slice([to_session(row) for row in rows], total)


async def list_all(session: AsyncSession, user_id: uuid.UUID) -> list[Session]:
    """Every session of the user that is still stored, newest first."""
    statement = select(sessions).where(sessions.c.user_id == user_id).order_by(sessions.c.created_at.desc())
    return [to_session(row) for row in await session.execute(statement)]


async def revoke(session: AsyncSession, session_id: uuid.UUID, now: datetime) -> None:
    await session.execute(
        update(sessions).where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None)).values(revoked_at=now)
    )


async def lock_open(session: AsyncSession, user_id: uuid.UUID) -> Sequence[Session]:
    """All sessions of the user that have not been ended, locked in one order."""
    statement = (
        select(sessions)
        .where(sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None))
        .order_by(sessions.c.id)
        .with_for_update()
    )
    return [to_session(row) for row in await session.execute(statement)]


async def revoke_many(session: AsyncSession, ids: Sequence[uuid.UUID], now: datetime) -> None:
    if ids:
        await session.execute(update(sessions).where(sessions.c.id.in_(ids)).values(revoked_at=now))


async def add_refresh_token(  # noqa: PLR0913 - these are its columns
    session: AsyncSession,
    digest: bytes,
    session_id: uuid.UUID,
    parent: bytes | None,
    now: datetime,
    expires_at: datetime,
) -> None:
    await session.execute(
        insert(refresh_tokens).values(
            hash=digest, session_id=session_id, parent=parent, created_at=now, expires_at=expires_at
        )
    )


async def find_refresh_token(session: AsyncSession, digest: bytes) -> RefreshToken | None:
    successor = refresh_tokens.alias("successor")
    statement = (
        select(
            refresh_tokens.c.session_id,
            refresh_tokens.c.expires_at,
            refresh_tokens.c.used_at,
            successor.c.used_at.label("successor_used_at"),
        )
        .select_from(refresh_tokens.outerjoin(successor, successor.c.parent == refresh_tokens.c.hash))
        .where(refresh_tokens.c.hash == digest)
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        return None
    return RefreshToken(row.session_id, row.expires_at, row.used_at, row.successor_used_at is not None)


async def use_refresh_token(session: AsyncSession, digest: bytes, now: datetime) -> bool:
    """Mark the token as used; False when somebody else has done so."""
    statement = (
        update(refresh_tokens)
        .where(refresh_tokens.c.hash == digest, refresh_tokens.c.used_at.is_(None))
        .values(used_at=now)
    )
    return bool((await session.execute(statement)).rowcount)  # type: ignore[attr-defined]


async def count_refreshes(session: AsyncSession, session_id: uuid.UUID, since: datetime) -> int:
    """How many refresh tokens the session was given after `since`."""
    statement = (
        select(func.count())
        .select_from(refresh_tokens)
        .where(refresh_tokens.c.session_id == session_id, refresh_tokens.c.created_at > since)
    )
    return int((await session.execute(statement)).scalar_one())
