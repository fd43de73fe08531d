"""Fixtures of the upgrade tests: the previous version's sources."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_ROOT = Path(__file__).parents[2]
# The laboratory of the fault tests runs processes; the local stack knows which there are.
sys.path[:0] = [str(_ROOT / "tests" / "faults"), str(_ROOT / "deploy" / "local")]

if TYPE_CHECKING:
    from tests.upgrade.previous import Version


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Version"]:
    """The version before this one."""
    from tests.upgrade.previous import HistoryMissingError, find

    if not (_ROOT / ".git").exists():
        pytest.skip("these sources are no clone: there is no previous version to start from")
    try:
        yield find(tmp_path_factory.mktemp("previous"))
    except HistoryMissingError as error:
        # Said and not failed: whoever has only the newest sources can still test everything else.
        pytest.skip(str(error))
