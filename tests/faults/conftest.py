"""Fixtures of the fault tests: one set of private servers for all of them, one shop for each."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "deploy" / "local")]

if TYPE_CHECKING:
    from lab.bench import Bench
    from lab.servers import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator["Servers"]:
    """MariaDB, RabbitMQ and a MongoDB server that the tests may kill."""
    from lab.servers import laboratory

    with laboratory() as running:
        running.start()
        running.wait_broker()
        yield running


@pytest.fixture
def shop(servers: "Servers") -> Iterator["Bench"]:
    """A shop with its till, nothing of it started yet."""
    from lab.bench import bench

    with bench(servers, "shop") as found:
        yield found
