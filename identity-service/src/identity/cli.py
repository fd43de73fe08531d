"""Commands for operators: migrations, administrators, keys."""

import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import TextIO

from chassis.errors import ServiceError
from chassis.metrics import new_registry
from chassis.migrations import upgrade
from identity.config import Settings
from identity.domain.emails import InvalidEmailError, canonical_email
from identity.domain.users import Registration
from identity.factory import Resources, build_resources
from identity.jobs.maintenance import create_first_admin
from identity.migrations import MIGRATIONS


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
