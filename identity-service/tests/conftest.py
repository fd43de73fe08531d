"""Runs the API and, piece by piece, the worker against databases of their own."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession
from sqlalchemy import text

from chassis.metrics import new_registry
from chassis.migrations import upgrade
from chassis.testing.http import running
from chassis.testing.servers import mysql_database
from identity.config import Settings
from identity.factory import Resources, build_resources
from identity.main import build_app
from identity.migrations import MIGRATIONS

PASSWORD = "a bicycle for two fish"
INTERNAL_TOKEN = "internal-token-of-the-test-suite-0123456789"


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """One migrated database for all tests; each works with users of its own."""
    with mysql_database("identity") as url:
        upgrade(MIGRATIONS, url)
        yield url


@pytest.fixture(scope="session")
def make_settings(database_url: str) -> Callable[..., Settings]:
    """Settings of the test run, with changes."""

    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "database_url": database_url,
            "broker_url": "amqp://nobody@127.0.0.1:1/",
            "internal_token": INTERNAL_TOKEN,
            "password_pepper": "pepper-of-the-test-suite-0123456789abcdef",
            "key_encryption_key": "key-encryption-key-of-the-test-suite-012345",
            "bcrypt_cost": 4,
            "hash_queue": 500,
            "public_web_url": "https://web.example",
            "registrations_per_address_per_hour": 1_000_000,
            "login_failures_per_address_per_10_minutes": 1_000_000,
            "login_accounts_per_address_per_10_minutes": 1_000_000,
            "forgot_per_address_per_hour": 1_000_000,
            "resets_per_address_per_hour": 1_000_000,
        }
        return Settings(**{**values, **changes})

    return make


@pytest.fixture(scope="session")
async def start(make_settings: Callable[..., Settings]) -> AsyncIterator[Callable[..., Awaitable[httpx.AsyncClient]]]:
    """Starts an API process with changed settings: `await start(refresh_race_window_ms=0)`."""
    async with AsyncExitStack() as stack:

        async def begin(**changes: Any) -> httpx.AsyncClient:
            return await stack.enter_async_context(running(build_app(make_settings(**changes))))

        yield begin


@pytest.fixture(scope="session")
async def api(start: Callable[..., Awaitable[httpx.AsyncClient]]) -> httpx.AsyncClient:
    """A client of one API replica."""
    return await start()


@pytest.fixture(scope="session")
async def other_api(api: httpx.AsyncClient, start: Callable[..., Awaitable[httpx.AsyncClient]]) -> httpx.AsyncClient:
    """A client of a second replica on the same database."""
    return await start()


@pytest.fixture(scope="session")
async def build(
    make_settings: Callable[..., Settings], smtp_port: int
) -> AsyncIterator[Callable[..., Awaitable[Resources]]]:
    """Builds the services themselves, as the worker has them, with changed settings."""
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> Resources:
            settings = make_settings(**{"smtp_url": f"smtp://127.0.0.1:{smtp_port}", **changes})
            built = build_resources(settings, new_registry())
            stack.push_async_callback(built.aclose)
            await built.key_set.refresh()
            return built

        yield make


@pytest.fixture(scope="session")
async def resources(build: Callable[..., Awaitable[Resources]]) -> Resources:
    """The services of a worker on the same database."""
    return await build()


@dataclass
class Account:
    """A registered user with the tokens of one login."""

    id: str
    email: str
    access_token: str
    refresh_token: str
    password: str = PASSWORD

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    def with_tokens(self, pair: Mapping[str, Any]) -> "Account":
        return Account(self.id, self.email, pair["accessToken"], pair["refreshToken"], self.password)


@pytest.fixture(scope="session")
def new_email() -> Callable[[], str]:
    """An address that nobody has."""
    numbers = itertools.count()
    return lambda: f"user{next(numbers)}-{secrets.token_hex(4)}@example.com"


Login = Callable[..., Awaitable[Account]]


@pytest.fixture(scope="session")
def log_in(api: httpx.AsyncClient) -> Login:
    """Logs an account in again: a second session of the same user."""

    async def begin(account: Account, client: httpx.AsyncClient | None = None, **headers: str) -> Account:
        body = {"email": account.email, "password": account.password}
        answer = await (client or api).post("/v1/auth/login", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return account.with_tokens(answer.json())

    return begin


@pytest.fixture(scope="session")
def register(api: httpx.AsyncClient, new_email: Callable[[], str], log_in: Login) -> Callable[..., Awaitable[Account]]:
    """Registers somebody and logs them in."""

    async def make(*, email: str | None = None, password: str = PASSWORD, name: str = "Ann Example") -> Account:
        body = {"email": email or new_email(), "password": password, "name": name}
        answer = await api.post("/v1/users", json=body)
        assert answer.status_code == 201, answer.text
        return await log_in(Account(answer.json()["id"], answer.json()["email"], "", "", password))

    return make


@pytest.fixture
async def user(register: Callable[..., Awaitable[Account]]) -> Account:
    return await register()


@pytest.fixture
async def stranger(register: Callable[..., Awaitable[Account]]) -> Account:
    return await register()


@pytest.fixture
async def admin(register: Callable[..., Awaitable[Account]], log_in: Login, sql: "Sql") -> Account:
    """An administrator of the test's own."""
    account = await register()
    await sql("UPDATE users SET role = 'admin' WHERE email = :email", email=account.email)
    return await log_in(account)


Sql = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.fixture(scope="session")
def sql(resources: Resources) -> Sql:
    """Runs a statement on the database: `await sql("SELECT …", email=…)`; how tests look behind and move time."""

    async def run(statement: str, **parameters: Any) -> list[dict[str, Any]]:
        async with resources.database.engine.begin() as connection:
            result = await connection.execute(text(statement), parameters)
            return [dict(row._mapping) for row in result] if result.returns_rows else []

    return run


@dataclass
class Inbox:
    """What the mail server of the tests has received; `refusing` makes it refuse everything."""

    mails: list[Envelope] = field(default_factory=list)
    refusing: bool = False

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refusing:
            return "451 not now"
        self.mails.append(envelope)
        return "250 OK"

    def texts_for(self, email: str) -> list[str]:
        """The raw mails to an address, oldest first."""
        return [
            envelope.content.decode()
            for envelope in self.mails
            if email in envelope.rcpt_tos and isinstance(envelope.content, bytes)
        ]


@pytest.fixture(scope="session")
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(scope="session")
async def smtp_port(inbox: Inbox) -> AsyncIterator[int]:
    """A real SMTP server."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox, loop=loop, hostname="mail.test"), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture(scope="session")
def deliver(resources: Resources) -> Callable[[], Awaitable[None]]:
    """Does what the worker does with waiting mails, until none is due."""

    async def run() -> None:
        while await resources.mail_delivery.deliver_next():
            pass

    return run


@pytest.fixture(scope="session")
def reset_token(
    api: httpx.AsyncClient, inbox: Inbox, deliver: Callable[[], Awaitable[None]]
) -> Callable[[str], Awaitable[str]]:
    """Asks for a new password and takes the token from the mail."""

    async def ask(email: str) -> str:
        answer = await api.post("/v1/auth/password/forgot", json={"email": email})
        assert answer.status_code == 202
        await deliver()
        text = inbox.texts_for(email)[-1]
        return text.split("#token=")[1].split()[0]

    return ask
