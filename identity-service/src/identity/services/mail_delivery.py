"""Writing and sending the mails that wait in the database."""

import logging
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.sql import Database, database_now
from identity.clients.mailer import MailNotSentError, SmtpMailer
from identity.services.passwords import PasswordService
from identity.storage import mail_jobs
from identity.storage.mail_jobs import MailJob, MailKind

_log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
# Longer than an SMTP dialogue may take: a mail is then surely not being sent by somebody else.
_LEASE = timedelta(seconds=60)
_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (2, 10, 60, 300))

_RESET_TEXT = """\
Somebody, probably you, has asked for a new password for your account.

Choose one here, within {minutes} minutes:

{link}

If your program asks for the token, it is:

{token}

If it was not you, do nothing: your password stays as it is.
"""

_CHANGED_TEXT = """\
The password of your account has been changed, and other devices have been logged out.

If it was not you, ask for a new password at once: {url}
"""

_EMAIL_CHANGED_TEXT = """\
Your account now has another e-mail address; mails about it no longer go to this one.

If it was not you, contact the administrator of {url} at once.
"""


class MailDelivery:
    """Sends one mail at a time; any number of workers may run, each mail is taken by one of them."""

    def __init__(self, database: Database, passwords: PasswordService, mailer: SmtpMailer, public_web_url: str) -> None:
        self._database = database
        self._passwords = passwords
        self._mailer = mailer
        self._url = public_web_url.rstrip("/")

    async def deliver_next(self) -> bool:
        """Send the next mail that is due; False when there is none."""
        job = await self._database.transaction(self._claim)
        if job is None:
            return False
        try:
            await self._send(job)
        except MailNotSentError as error:
            await self._put_back(job, error)
            return True
        await self._database.transaction(lambda session: mail_jobs.remove(session, job.id))
        return True

    @staticmethod
    async def _claim(session: AsyncSession) -> MailJob | None:
        now = await database_now(session)
        return await mail_jobs.claim(session, now, now + _LEASE)

    async def _send(self, job: MailJob) -> None:
        if job.kind is MailKind.PASSWORD_RESET:
            issued = await self._passwords.issue_reset_token(job.email)
            if issued is None:
                # Strangers get no mail: nobody asked them whether they want one.
                return
            user, token = issued
            await self._mailer.send(user.email, "Your new password", self._reset_text(token))
        elif job.kind is MailKind.PASSWORD_CHANGED:
            text = _CHANGED_TEXT.format(url=self._url)
            await self._mailer.send(job.email, "Your password has been changed", text)
        else:
            text = _EMAIL_CHANGED_TEXT.format(url=self._url)
            await self._mailer.send(job.email, "Your e-mail address has been changed", text)

    def _reset_text(self, token: str) -> str:
        # In the fragment: browsers send it to no server and in no Referer.
        link = f"{self._url}/reset-password#token={token}"
        minutes = int(self._passwords.reset_lifetime.total_seconds() // 60)
        return _RESET_TEXT.format(minutes=minutes, link=link, token=token)

    async def _put_back(self, job: MailJob, error: MailNotSentError) -> None:
        details = {"mail": job.kind, "attempt": job.attempts, "reason": str(error)}
        if job.attempts >= MAX_ATTEMPTS:
            _log.error("mail given up", extra=details)
            await self._database.transaction(lambda session: mail_jobs.remove(session, job.id))
            return
        _log.warning("mail not sent; it will be tried again", extra=details)
        pause = _PAUSES[job.attempts - 1]

        async def postpone(session: AsyncSession) -> None:
            await mail_jobs.postpone(session, job.id, await database_now(session) + pause)

        await self._database.transaction(postpone)
