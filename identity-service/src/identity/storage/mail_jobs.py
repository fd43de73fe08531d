"""Mails that wait to be sent, in MySQL."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from identity.storage.tables import mail_jobs


class MailKind(StrEnum):
    PASSWORD_RESET = "password-reset"  # noqa: S105 - the name of a mail
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - the name of a mail
    EMAIL_CHANGED = "email-changed"


@dataclass(frozen=True, slots=True)
class MailJob:
    """A mail to be sent to `email`; `attempts` counts this one."""

    id: int
    kind: MailKind
    email: str
    attempts: int


async def add(session: AsyncSession, kind: MailKind, email: str) -> None:
    await session.execute(insert(mail_jobs).values(kind=kind, email=email))


async def claim(session: AsyncSession, now: datetime, until: datetime) -> MailJob | None:
    """Take the next due mail; it becomes due again at `until`, should this worker die before it is sent."""
    statement = (
        select(mail_jobs)
        .where(mail_jobs.c.due_at <= now)
        .order_by(mail_jobs.c.due_at, mail_jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        return None
    await session.execute(
        update(mail_jobs).where(mail_jobs.c.id == row.id).values(attempts=row.attempts + 1, due_at=until)
    )
    return MailJob(row.id, MailKind(row.kind), row.email, row.attempts + 1)


async def postpone(session: AsyncSession, job_id: int, until: datetime) -> None:
    await session.execute(update(mail_jobs).where(mail_jobs.c.id == job_id).values(due_at=until))


async def remove(session: AsyncSession, job_id: int) -> None:
    await session.execute(delete(mail_jobs).where(mail_jobs.c.id == job_id))


async def remove_for(session: AsyncSession, email: str) -> None:
    """Delete all mails to an address."""
    await session.execute(delete(mail_jobs).where(mail_jobs.c.email == email))
