"""The SMTP side: takes every mail for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiosmtpd.smtp import SMTP, Envelope, Session

from mail_catcher.mails import Mail, Mailbox

_MAX_MAIL_BYTES = 5 * 1024 * 1024
_NAME = "mail-catcher"


class _Handler:
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    # The name is aiosmtpd's.
    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        raw = content.encode() if isinstance(content, str) else content or b""
        self._mailbox.add(Mail.of(envelope.mail_from or "", envelope.rcpt_tos, raw))
        return "250 OK: kept, not delivered"


@asynccontextmanager
async def smtp_server(mailbox: Mailbox, host: str, port: int) -> AsyncIterator[int]:
    """Listen while the context is open; yields the port, chosen by the system if `port` is 0."""
    handler = _Handler(mailbox)

    def protocol() -> SMTP:
        # A host name of its own: the library would look the machine's up, which may take seconds.
        return SMTP(handler, data_size_limit=_MAX_MAIL_BYTES, enable_SMTPUTF8=True, hostname=_NAME, ident=_NAME)

    server = await asyncio.get_running_loop().create_server(protocol, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
