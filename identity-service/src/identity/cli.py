"""Commands for operators: migrations, administrators, keys, events."""

import argparse
import getpass
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TextIO, TypeVar

from chassis.errors import ServiceError
from chassis.events.operator import Action, tell_progress
from chassis.events.sql_outbox import outbox_status
from chassis.metrics import new_registry
from chassis.migrations import upgrade
from chassis.sql import Database
from identity.config import Settings
from identity.domain.emails import InvalidEmailError, canonical_email
from identity.domain.users import Registration
from identity.factory import Resources, build_resources
from identity.jobs.maintenance import create_first_admin
from identity.migrations import MIGRATIONS
from identity.services.announcement import Announcement
from identity.storage.tables import outbox

_Result = TypeVar("_Result")

# What others know of our users: that they were deleted.
PROJECTIONS = ("deleted-users",)


def _say(line: str, stream: TextIO | None = None) -> None:
    (stream or sys.stdout).write(line + "\n")


async def with_resources(settings: Settings, command: Callable[[Resources], Awaitable[int]]) -> int:
    """Run `command`; its exit status, or 1 with a message when it fails as expected."""
    resources = build_resources(settings, new_registry())
    try:
        return await command(resources)
    except ServiceError as error:
        reasons = [each.message for each in error.errors] or [error.detail]
        _say(f"failed ({error.code}): {'; '.join(reasons)}", sys.stderr)
        return 1
    except InvalidEmailError as error:
        _say(f"failed: the address {error}", sys.stderr)
        return 1
    finally:
        await resources.aclose()


def migrate(settings: Settings) -> None:
    """Bring the schema to the newest revision."""
    upgrade(MIGRATIONS, settings.database_url.get_secret_value())


async def prepare(resources: Resources) -> int:
    """What a new database needs besides its schema: a signing key and the first administrator."""
    await resources.signing_keys.rotate(only_if_due=True)
    await create_first_admin(resources.accounts, resources.settings)
    return 0


def read_password() -> str:
    """The password from the terminal, asked twice, or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise SystemExit("the passwords differ")
    return password


async def create_admin(resources: Resources, email: str, name: str, password: str) -> int:
    """Make an administrator."""
    user = await resources.accounts.create_admin(Registration(canonical_email(email), password, name))
    _say(f"administrator {user.email} has the id {user.id}")
    return 0


async def rotate_keys(resources: Resources, *, at_once: bool) -> int:
    """Make a new signing key and retire the present one."""
    if not await resources.signing_keys.rotate(at_once=at_once):
        _say("another process has just rotated the keys", sys.stderr)
        return 1
    return await list_keys(resources)


async def list_keys(resources: Resources) -> int:
    """Print every published key and its state."""
    for key, state in await resources.signing_keys.list_states():
        leaves = f", leaves the key set {key.removes_at:%Y-%m-%dT%H:%M:%SZ}" if key.removes_at else ""
        _say(f"{key.kid}  {state:9}  signs from {key.activates_at:%Y-%m-%dT%H:%M:%SZ}{leaves}")
    return 0


def event_actions(load_settings: Callable[[], Settings]) -> Mapping[str, Action]:
    """The `events` commands that need this service's database.

    This service holds nothing of others. What others hold of its users is set right by telling it again.
    """

    async def with_database(work: Callable[[Database], Awaitable[_Result]]) -> _Result:
        database = Database(load_settings().database_url.get_secret_value(), pool_size=1)
        try:
            return await work(database)
        finally:
            await database.aclose()

    return {
        "outbox": lambda _: with_database(outbox_status),
        "reconcile": lambda options: with_database(lambda database: _announce_user(database, options)),
        "rebuild": lambda options: with_database(lambda database: _announce_deleted(database, options)),
    }


async def _announce_user(database: Database, options: argparse.Namespace) -> dict[str, Any] | None:
    event = await Announcement(database, outbox).announce_user(options.user, dry_run=options.dry_run)
    return None if event is None else {"type": event.type, "data": event.data, "announced": not options.dry_run}


async def _announce_deleted(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    told = 0
    after = uuid.UUID(options.after) if options.after else None
    async for last, count in Announcement(database, outbox).announce_deleted(after, dry_run=options.dry_run):
        told += count
        tell_progress(options.projection, last)
    return {"projection": options.projection, "found": told, "announced": 0 if options.dry_run else told}
