"""Every list is read through an index in the order asked for: a page costs a walk, not a sort of all rows.

The lists and their data are those of the benchmark, which measures with a million rows what is shown here with few.
"""

import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chassis.testing.servers import mysql_database


def _benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "subscription.py"
    spec = importlib.util.spec_from_file_location("subscription_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench = _benchmark()
# The lists of a user are sorted, after an index has found the user's few rows.
OWN = ("subscriptions", "subscriptions?status=active", "subscriptions?sort=expiresAt", "subscriptions?userId= (admin)")
SORTED = (*OWN, "packages?status=archived", "entitlements/me")
INDEXES = ("ix_packages_", "ix_subscriptions_created_at", "ix_subscriptions_ends_at", "ix_subscriptions_package")


@pytest.fixture(scope="module")
async def plans() -> AsyncIterator[dict[str, list[Any]]]:
    """The plan of every list of the benchmark."""
    with mysql_database("plans") as url:
        world = bench.World(url, 20_000)
        world.fill()
        await world.index()
        yield {name: await bench.plan(world, case) for name, case in world.cases().items()}
        await world.resources.aclose()


def test_no_list_reads_a_whole_table(plans: dict[str, list[Any]]) -> None:
    assert len(plans) > 20
    for name, steps in plans.items():
        assert steps, name
        for step in steps:
            assert not bench.is_unindexed(step), (name, step)


def test_lists_of_everything_walk_an_index_that_is_in_order(plans: dict[str, list[Any]]) -> None:
    for name, steps in plans.items():
        if name in SORTED or "versions" in name:
            continue
        walked = [step for step in steps if str(step.key).startswith(INDEXES)]
        assert walked, name
        for step in walked:
            if name != "subscriptions?status=expired (admin)" or step.key != "ix_subscriptions_ends_at":
                assert "filesort" not in (step.Extra or ""), (name, step)


def test_lists_of_a_user_start_from_the_users_rows(plans: dict[str, list[Any]]) -> None:
    mine = {"ix_subscriptions_user", "uq_subscriptions_user_id_active_package_id", "PRIMARY"}
    for name in SORTED:
        keys = {step.key for step in plans[name] if step.table == "subscriptions"}
        assert keys <= mine, (name, keys)
    assert {step.key for step in plans["packages?status=archived"] if step.table == "packages"} == {"PRIMARY"}


def test_overdue_subscriptions_are_found_by_their_end(plans: dict[str, list[Any]]) -> None:
    steps = plans["subscriptions?status=expired (admin)"]
    assert {"ix_subscriptions_ends_at", "ix_subscriptions_created_at_desc"} <= {step.key for step in steps}
