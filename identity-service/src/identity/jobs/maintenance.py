"""What has to be done now and then: the first administrator, key rotation, sweeping."""

import asyncio
import logging
import random

from chassis.errors import ServiceError
from identity.config import Settings
from identity.domain.emails import InvalidEmailError, canonical_email
from identity.domain.users import Registration
from identity.services.accounts import AccountService
from identity.services.housekeeping import Housekeeping
from identity.services.signing_keys import SigningKeyService

_log = logging.getLogger(__name__)
_INTERVAL_SECONDS = 600.0


async def create_first_admin(accounts: AccountService, settings: Settings) -> None:
    """Make the administrator of ADMIN_EMAIL and ADMIN_PASSWORD if there is none; says in the log why it could not."""
    if not settings.admin_email or settings.admin_password is None:
        _log.info("no first administrator is configured; 'create-admin' makes one")
        return
    try:
        registration = Registration(
            canonical_email(settings.admin_email), settings.admin_password.get_secret_value(), "Administrator"
        )
        user = await accounts.create_first_admin(registration)
    except InvalidEmailError:
        _log.error("the first administrator was not made: ADMIN_EMAIL is no e-mail address")
    except ServiceError as error:
        if error.code == "service-unavailable":
            raise
        reasons = [each.message for each in error.errors] or [error.detail]
        _log.error("the first administrator was not made", extra={"reason": "; ".join(reasons)})
    else:
        if user is not None:
            _log.info("first administrator made", extra={"userId": str(user.id)})


async def maintain(
    accounts: AccountService, keys: SigningKeyService, housekeeping: Housekeeping, settings: Settings
) -> None:
    """Do all of it at once and then at intervals; any number of workers may."""
    await create_first_admin(accounts, settings)
    while True:
        await keys.rotate(only_if_due=True)
        deleted = await housekeeping.sweep()
        if deleted:
            _log.info("expired rows deleted", extra={"rows": deleted})
        await asyncio.sleep(random.uniform(_INTERVAL_SECONDS / 2, _INTERVAL_SECONDS))  # noqa: S311 - jitter
