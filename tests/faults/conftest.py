"""Fixtures of the fault tests: one set of private servers for all of them, one shop for each."""

import os
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


def pytest_configure(config: pytest.Config) -> None:
    """The markers of this folder."""
    config.addinivalue_line("markers", "faults: breaks real servers, processes and links")
    config.addinivalue_line("markers", "soak: too slow for every run; `tests/faults/soak.py` runs it (FAULTS_SOAK=1)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here is `faults`; what is `soak` besides waits for the long run."""
    ours = [item for item in items if _HERE in item.path.parents]
    for item in ours:
        item.add_marker("faults")
    if os.environ.get("FAULTS_SOAK"):
        return
    later = [item for item in ours if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=later)
    items[:] = [item for item in items if item not in later]


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
