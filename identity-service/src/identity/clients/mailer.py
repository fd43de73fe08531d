"""Sending mail over SMTP."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

_TIMEOUT_SECONDS = 10.0
_DEFAULT_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class MailNotSentError(Exception):
    """The mail server did not take the mail."""


class SmtpMailer:
    """Hands mails to the server of `url`: `smtp://`, `smtp+starttls://` or `smtps://`, with `user:password@` if needed.

    With the latter two the server's certificate is verified and nothing is sent without encryption.
    """

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ValueError("the SMTP URL must begin with smtp://, smtp+starttls:// or smtps:// and name a host")
        self._scheme = parts.scheme
        self._host = parts.hostname
        self._port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._sender = sender

    async def send(self, recipient: str, subject: str, text: str) -> None:
        """Send a plain-text mail. Raises `MailNotSentError`."""
        message = EmailMessage()
        # EmailMessage refuses line breaks in headers, so no value can smuggle in another header.
        message["From"] = self._sender
        message["To"] = recipient
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="movie-package-suite.local")
        message["Auto-Submitted"] = "auto-generated"
        # Not base64 or quoted-printable: a link or token must arrive unbroken in any mail program.
        message.set_content(text, cte="7bit" if text.isascii() else "8bit")
        try:
            await asyncio.to_thread(self._deliver, message)
        except (OSError, smtplib.SMTPException) as error:
            raise MailNotSentError(f"{type(error).__name__}") from error

    def _deliver(self, message: EmailMessage) -> None:
        context = ssl.create_default_context()
        if self._scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=_TIMEOUT_SECONDS, context=context
            )
        else:
            connection = smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        with connection:
            if self._scheme == "smtp+starttls":
                connection.starttls(context=context)
            if self._user:
                connection.login(self._user, self._password)
            connection.send_message(message)
