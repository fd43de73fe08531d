"""A gateway process and the services behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chassis.testing.tokens import TokenIssuer
from gateway.testing.process import Identity, RunningGateway, StartGateway, running_gateway
from gateway.testing.upstream import RecordingUpstream, echo


@pytest.fixture(scope="session")
async def identity(token_issuer: TokenIssuer) -> AsyncIterator[Identity]:
    """identity-service as the gateway sees it."""
    upstream = Identity(token_issuer)
    await upstream.start()
    yield upstream
    await upstream.stop()


@pytest.fixture(scope="session")
async def _service() -> AsyncIterator[RecordingUpstream]:
    upstream = RecordingUpstream()
    await upstream.start()
    yield upstream
    await upstream.stop()


@pytest.fixture(autouse=True)
def service(_service: RecordingUpstream) -> RecordingUpstream:
    """The service behind every path that is not identity's, with nothing recorded yet."""
    _service.handler = echo
    _service.paths.clear()
    _service.requests.clear()
    _service.bytes_received = 0
    return _service


@pytest.fixture(scope="session")
def start_gateway(
    identity: Identity, _service: RecordingUpstream, tmp_path_factory: pytest.TempPathFactory
) -> StartGateway:
    """Starts a gateway with settings of the test's own."""
    folder: Path = tmp_path_factory.mktemp("gateway")

    @asynccontextmanager
    async def start(**settings: object) -> AsyncIterator[RunningGateway]:
        urls = {
            "identity": identity.url,
            **{name: str(settings.pop(name, _service.url)) for name in ("subscription", "catalog", "watch")},
        }
        urls["identity"] = str(settings.pop("identity", urls["identity"]))
        wait_ready = bool(settings.pop("wait_ready", True))
        async with running_gateway(folder, urls, wait_ready=wait_ready, **settings) as gateway:
            yield gateway

    return start


@pytest.fixture(scope="session")
async def shared_gateway(start_gateway: StartGateway) -> AsyncIterator[RunningGateway]:
    """A gateway with the default settings, except that no limit gets in the way of another test."""
    async with start_gateway(
        address_burst=100_000, address_rate=10_000, user_burst=100_000, credentials_burst=100_000
    ) as gateway:
        yield gateway


@pytest.fixture
def bearer(token_issuer: TokenIssuer) -> str:
    """The Authorization header of a plain user."""
    return f"Bearer {token_issuer.token()}"


@pytest.fixture
def admin_bearer(token_issuer: TokenIssuer) -> str:
    """The Authorization header of an administrator."""
    return f"Bearer {token_issuer.token(roles=('user', 'admin'))}"
