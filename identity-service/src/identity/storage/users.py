"""Accounts in MySQL."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.pagination import PageRequest, Slice
from chassis.sql import violated_constraint
from identity.domain.errors import EmailTakenError
from identity.domain.users import Role, Status, User, UserFilter, UserSort
from identity.storage.tables import deleted_users, users

_ORDER = {
    UserSort.CREATED_AT: users.c.created_at.asc(),
    UserSort.CREATED_AT_DESCENDING: users.c.created_at.desc(),
    UserSort.EMAIL: users.c.email.asc(),
    UserSort.EMAIL_DESCENDING: users.c.email.desc(),
    UserSort.NAME: users.c.name.asc(),
    UserSort.NAME_DESCENDING: users.c.name.desc(),
}


def to_user(row: Row[Any]) -> User:
    """The account in a row of `users`."""
    return User(
        id=row.id,
        email=row.email,
        name=row.name,
        role=Role(row.role),
        status=Status(row.status),
        password_hash=row.password_hash,
        token_version=row.token_version,
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


async def add(session: AsyncSession, user: User) -> None:
    """Store a new account. Raises `EmailTakenError`."""
    values = {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "status": user.status,
        "password_hash": user.password_hash,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }
    try:
        await session.execute(insert(users).values(values))
    except IntegrityError as error:
        raise _translate(error) from error


def _translate(error: IntegrityError) -> Exception:
    return EmailTakenError() if violated_constraint(error) == "uq_users_email" else error


async def _one(session: AsyncSession, statement: Select[Any]) -> User | None:
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else to_user(row)


async def find(session: AsyncSession, user_id: uuid.UUID) -> User | None:
    return await _one(session, select(users).where(users.c.id == user_id))


async def find_by_email(session: AsyncSession, email: str) -> User | None:
    return await _one(session, select(users).where(users.c.email == email))


async def lock(session: AsyncSession, user_id: uuid.UUID) -> User | None:
    """The account, locked until the end of the transaction. Always the first lock of those on a user's rows."""
    return await _one(session, select(users).where(users.c.id == user_id).with_for_update())


async def lock_by_email(session: AsyncSession, email: str) -> User | None:
    """The account of an address, locked like by `lock`."""
    return await _one(session, select(users).where(users.c.email == email).with_for_update())


async def lock_active_admins(session: AsyncSession) -> set[uuid.UUID]:
    """The ids of all active administrators, whose rows stay locked: nobody else can take one away meanwhile."""
    statement = (
        select(users.c.id)
        .where(users.c.role == Role.ADMIN, users.c.status == Status.ACTIVE)
        .order_by(users.c.id)
        .with_for_update()
    )
    return set((await session.execute(statement)).scalars())


async def has_admin(session: AsyncSession) -> bool:
    """Whether there is any administrator, active or not."""
    statement = select(users.c.id).where(users.c.role == Role.ADMIN).limit(1)
    return (await session.execute(statement)).first() is not None


async def change(session: AsyncSession, user_id: uuid.UUID, **values: Any) -> None:
    """Set columns of an account. Raises `EmailTakenError`."""
    try:
        await session.execute(update(users).where(users.c.id == user_id).values(**values))
    except IntegrityError as error:
        raise _translate(error) from error


async def replace_password(session: AsyncSession, user_id: uuid.UUID, old: str, new: str) -> bool:
    """Set the password hash if it still is `old`; whether it was."""
    statement = update(users).where(users.c.id == user_id, users.c.password_hash == old).values(password_hash=new)
    return bool((await session.execute(statement)).rowcount)  # type: ignore[attr-defined]


async def raise_generation(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> User:
    """End every access token issued so far; the account as it is now."""
    await session.execute(
        update(users)
        .where(users.c.id == user_id)
        .values(token_version=users.c.token_version + 1, revision=users.c.revision + 1, tokens_revoked_at=now)
    )
    return to_user((await session.execute(select(users).where(users.c.id == user_id))).one())


async def remove(session: AsyncSession, user: User, now: datetime) -> int:
    """Erase the account with all that hangs on it and leave a tombstone; the revision of the deletion."""
    revision = user.revision + 1
    await session.execute(insert(deleted_users).values(id=user.id, revision=revision, deleted_at=now))
    await session.execute(delete(users).where(users.c.id == user.id))
    return revision


async def list_page(session: AsyncSession, wanted: UserFilter, sort: UserSort, page: PageRequest) -> Slice[User]:
    """One page of the accounts that `wanted` leaves."""
    statement = _narrow(select(users), wanted)
    total = (await session.execute(select(func.count()).select_from(statement.subquery()))).scalar_one()
    rows = await session.execute(statement.order_by(_ORDER[sort], users.c.id).limit(page.size).offset(page.offset))
    return Slice([to_user(row) for row in rows], total)


async def list_statuses(session: AsyncSession, ids: Sequence[uuid.UUID]) -> list[tuple[uuid.UUID, Status]]:
    """Id and status of those of `ids` that exist."""
    rows = await session.execute(select(users.c.id, users.c.status).where(users.c.id.in_(ids)).order_by(users.c.id))
    return [(row.id, Status(row.status)) for row in rows]


def _narrow(statement: Select[Any], wanted: UserFilter) -> Select[Any]:
    if wanted.ids is not None:
        statement = statement.where(users.c.id.in_(wanted.ids))
    if wanted.email is not None:
        # No address has other characters, and the column could not even be compared with them.
        matches = users.c.email == wanted.email.lower() if wanted.email.isascii() else literal(False)
        statement = statement.where(matches)
    if wanted.search is not None:
        matches = users.c.name.contains(wanted.search, autoescape=True)
        if wanted.search.isascii():
            matches = or_(matches, users.c.email.contains(wanted.search.lower(), autoescape=True))
        statement = statement.where(matches)
    if wanted.role is not None:
        statement = statement.where(users.c.role == wanted.role)
    if wanted.status is not None:
        statement = statement.where(users.c.status == wanted.status)
    return statement
