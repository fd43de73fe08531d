"""Fixtures for every test suite: loaded by the `conftest.py` at the root."""

from collections.abc import Iterator

import pytest

from chassis.testing.servers import broker_vhost
from chassis.testing.tokens import TokenIssuer


@pytest.fixture(scope="session")
def token_issuer() -> TokenIssuer:
    """Signs the access tokens of this test run."""
    return TokenIssuer()


@pytest.fixture(scope="module")
def broker_url() -> Iterator[str]:
    """A RabbitMQ virtual host of the module's own."""
    with broker_vhost("bus") as url:
        yield url
