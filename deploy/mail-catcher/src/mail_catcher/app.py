"""The HTTP application; SMTP is served for as long as it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mail_catcher.api import MailApi
from mail_catcher.mails import Mailbox
from mail_catcher.page import MailPages
from mail_catcher.settings import Settings
from mail_catcher.smtp import smtp_server


def create_app(settings: Settings) -> Starlette:
    """The application with a mailbox of its own. `app.state.smtp_port` tells the SMTP port once it runs."""
    mailbox = Mailbox(settings.max_mails, settings.max_bytes)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with smtp_server(mailbox, settings.host, settings.smtp_port) as port:
            app.state.smtp_port = port
            yield

    health = [Route("/livez", _alive), Route("/readyz", _alive)]
    return Starlette(routes=[*MailPages(mailbox).routes(), *MailApi(mailbox).routes(), *health], lifespan=lifespan)


async def _alive(_request: Request) -> Response:
    # HTTP is served only once SMTP is: the lifespan sees to that order.
    return JSONResponse({"status": "ok"})
