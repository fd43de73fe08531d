"""What operators do with events of this service: `python -m subscription events …`."""

import argparse
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from chassis.events.operator import Action, tell_progress
from chassis.events.sql_outbox import outbox_status
from chassis.sql import Database, database_now
from subscription.config import Settings
from subscription.domain.entitlements import entitlements_data
from subscription.services.announcement import Announcement
from subscription.services.entitlements import EntitlementAnnouncer
from subscription.storage.tables import outbox

_Result = TypeVar("_Result")

# What others hold of ours.
PROJECTIONS = ("entitlements",)


def event_actions(load_settings: Callable[[], Settings]) -> Mapping[str, Action]:
    """The commands that need this service's database."""

    async def with_database(work: Callable[[Database], Awaitable[_Result]]) -> _Result:
        database = Database(load_settings().database_url.get_secret_value(), pool_size=1)
        try:
            return await work(database)
        finally:
            await database.aclose()

    return {
        "outbox": lambda _: with_database(outbox_status),
        "reconcile": lambda options: with_database(lambda database: _announce_user(database, options)),
        "rebuild": lambda options: with_database(lambda database: _announce_all(database, options)),
    }


def _announcement(database: Database) -> Announcement:
    return Announcement(database, database_now, EntitlementAnnouncer(outbox))


async def _announce_user(database: Database, options: argparse.Namespace) -> dict[str, Any] | None:
    told = await _announcement(database).announce_user(options.user, dry_run=options.dry_run)
    return None if told is None else {"data": entitlements_data(told), "announced": not options.dry_run}


async def _announce_all(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    found = 0
    after = uuid.UUID(options.after) if options.after else None
    async for last, count in _announcement(database).announce_all(after, dry_run=options.dry_run):
        found += count
        tell_progress(options.projection, last)
    return {"projection": options.projection, "found": found, "announced": 0 if options.dry_run else found}
