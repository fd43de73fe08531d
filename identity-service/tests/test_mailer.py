"""Mail over TLS: encrypted or not at all, and only to a server whose certificate is good."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from identity.clients.mailer import MailNotSentError, SmtpMailer

SENDER = "Movie packages <no-reply@example.com>"
RECIPIENT = "ann@example.com"


@dataclass
class MailServer:
    """What a server has received, with the cipher that it came under, and who logged in."""

    mails: list[tuple[bytes, str | None]] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        assert server.transport is not None
        cipher = server.transport.get_extra_info("cipher")
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope.content, cipher[0] if cipher else None))
        return "250 OK"

    def authenticate(self, _: SMTP, __: Session, ___: Envelope, ____: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login, given.password))
        return AuthResult(success=given == LoginPassword(b"suite", b"p@ss word"), handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("mail") / "server.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator trusts the server's authority, in the way that OpenSSL documents."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@asynccontextmanager
async def serving(mails: MailServer, *, tls: ssl.SSLContext | None = None, **smtp: Any) -> AsyncIterator[int]:
    """A real SMTP server on a port of its own, with TLS from the first byte if `tls` is given."""
    loop = asyncio.get_running_loop()

    def connect() -> SMTP:
        return SMTP(mails, loop=loop, hostname="mail.test", authenticator=mails.authenticate, **smtp)

    server = await loop.create_server(connect, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(certificate)
    return made


@pytest.mark.usefixtures("trusted")
async def test_starttls_encrypts_before_the_password_and_the_mail(context: ssl.SSLContext) -> None:
    mails = MailServer()
    async with serving(mails, tls_context=context, require_starttls=True, auth_required=True) as port:
        mailer = SmtpMailer(f"smtp+starttls://suite:p%40ss%20word@127.0.0.1:{port}", SENDER)
        await mailer.send(RECIPIENT, "Subject", "Text")
    ((content, cipher),) = mails.mails
    assert cipher
    assert b"Text" in content
    assert mails.logins == [(b"suite", b"p@ss word")]


@pytest.mark.usefixtures("trusted")
async def test_smtps_is_encrypted_from_the_first_byte(context: ssl.SSLContext) -> None:
    mails = MailServer()
    async with serving(mails, tls=context, auth_require_tls=False) as port:
        await SmtpMailer(f"smtps://suite:p%40ss%20word@127.0.0.1:{port}", SENDER).send(RECIPIENT, "Subject", "Text")
    ((_, cipher),) = mails.mails
    assert cipher


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
async def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(scheme: str, context: ssl.SSLContext) -> None:
    mails = MailServer()
    tls: dict[str, Any] = {"tls": context} if scheme == "smtps" else {"tls_context": context}
    async with serving(mails, **tls) as port:
        with pytest.raises(MailNotSentError, match="SSL"):
            await SmtpMailer(f"{scheme}://suite:p%40ss%20word@127.0.0.1:{port}", SENDER).send(RECIPIENT, "Subject", "T")
    assert (mails.mails, mails.logins) == ([], [])


@pytest.mark.usefixtures("trusted")
async def test_a_server_that_is_somebody_else_gets_nothing(context: ssl.SSLContext) -> None:
    mails = MailServer()
    async with serving(mails, tls_context=context) as port:
        with pytest.raises(MailNotSentError, match="SSL"):
            await SmtpMailer(f"smtp+starttls://localhost:{port}", SENDER).send(RECIPIENT, "Subject", "Text")
    assert not mails.mails


@pytest.mark.usefixtures("trusted")
async def test_a_server_without_encryption_gets_nothing_when_it_was_asked_for() -> None:
    mails = MailServer()
    async with serving(mails) as port:
        with pytest.raises(MailNotSentError, match="NotSupported"):
            await SmtpMailer(f"smtp+starttls://127.0.0.1:{port}", SENDER).send(RECIPIENT, "Subject", "Text")
    assert not mails.mails


@pytest.mark.usefixtures("trusted")
async def test_a_refused_password_sends_nothing(context: ssl.SSLContext) -> None:
    mails = MailServer()
    async with serving(mails, tls_context=context) as port:
        with pytest.raises(MailNotSentError, match="Authentication"):
            await SmtpMailer(f"smtp+starttls://suite:wrong@127.0.0.1:{port}", SENDER).send(RECIPIENT, "Subject", "Text")
    assert not mails.mails


@pytest.mark.parametrize("url", ["http://mail.test", "smtp://", "mail.test", "smtp+tls://mail.test"])
def test_a_url_that_names_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="SMTP URL"):
        SmtpMailer(url, SENDER)


@pytest.mark.parametrize("make", [lambda text: (text, "Subject"), lambda text: (RECIPIENT, text)])
async def test_a_line_break_smuggles_no_header_in(make: Callable[[str], tuple[str, str]]) -> None:
    mails = MailServer()
    async with serving(mails) as port:
        recipient, subject = make("ann@example.com\r\nBcc: eve@example.com")
        with pytest.raises(ValueError, match="linefeed"):
            await SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER).send(recipient, subject, "Text")
    assert not mails.mails
