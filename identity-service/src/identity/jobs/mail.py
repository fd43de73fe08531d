"""Sends the waiting mails, one after the other."""

import asyncio
import random

from identity.services.mail_delivery import MailDelivery

_IDLE_SECONDS = 0.4


async def send_mails(delivery: MailDelivery) -> None:
    """Send for ever; a database that does not answer ends it with an error, and its owner starts it again."""
    while True:
        if not await delivery.deliver_next():
            await asyncio.sleep(random.uniform(_IDLE_SECONDS / 2, _IDLE_SECONDS))  # noqa: S311 - jitter, no secret
