"""The mail catcher running in this process: mails go in over SMTP, answers come over HTTP."""

import smtplib
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage

import httpx
import pytest

from mail_catcher.app import create_app
from mail_catcher.settings import Settings

MAX_MAILS = 5


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client; its `smtp_port` header tells where mails are taken."""
    app = create_app(Settings(smtp_port=0, max_mails=MAX_MAILS))
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://mails.test") as connected,
    ):
        connected.headers["smtp-port"] = str(app.state.smtp_port)
        yield connected


@pytest.fixture
def make_mail() -> Callable[..., EmailMessage]:
    """Makes a mail; what is not said is usual."""

    def make(text: str = "Hello", **headers: str) -> EmailMessage:
        mail = EmailMessage()
        values = {"From": "Suite <no-reply@example.com>", "To": "ann@example.com", "Subject": "Hello"}
        for name, value in (values | headers).items():
            mail[name] = value
        mail.set_content(text)
        return mail

    return make


@pytest.fixture
def send(client: httpx.AsyncClient) -> Callable[[EmailMessage], None]:
    """Sends a mail over SMTP; it blocks, so call it in a thread."""

    def deliver(mail: EmailMessage) -> None:
        with smtplib.SMTP("127.0.0.1", int(client.headers["smtp-port"]), timeout=5) as connection:
            connection.send_message(mail)

    return deliver
