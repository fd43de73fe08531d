"""Comparing the projection of entitlements with its source, and repairing what differs."""

import asyncio
import logging
import uuid

from catalog.clients.subscriptions import SubscriptionsClient
from catalog.storage.entitlements import EntitlementRepository

_log = logging.getLogger(__name__)

_PAGE = 500


class EntitlementHealing:
    """Finds buckets of users whose revisions differ, twice in a row, and takes the source's word for them.

    A difference that is gone on the second look was an event on its way.
    """

    def __init__(
        self, repository: EntitlementRepository, subscriptions: SubscriptionsClient, second_look_seconds: float = 5.0
    ) -> None:
        self._repository = repository
        self._subscriptions = subscriptions
        self._second_look_seconds = second_look_seconds

    async def sweep(self) -> int:
        """Compare once and repair; how many users were repaired. Raises `PeerUnavailableError`."""
        suspects = await self._differing()
        if not suspects:
            return 0
        await asyncio.sleep(self._second_look_seconds)
        repaired = 0
        for bucket in sorted(suspects & await self._differing()):
            repaired += await self._heal(bucket)
        if repaired:
            _log.warning("entitlements repaired", extra={"users": repaired})
        return repaired

    async def _differing(self) -> set[int]:
        ours = await self._repository.digest()
        theirs = await self._subscriptions.digest()
        return {bucket for bucket in ours.keys() | theirs.keys() if ours.get(bucket) != theirs.get(bucket)}

    async def _heal(self, bucket: int) -> int:
        # Ours first: whatever the source then does not know, or knows only older, it has truly lost.
        ours = await self._repository.revisions_of(bucket)
        repaired = 0
        after: uuid.UUID | None = None
        while page := await self._subscriptions.bucket(bucket, after, _PAGE):
            for statement in page:
                stored = ours.pop(statement.user_id, None)
                if stored is not None and stored > statement.revision:
                    _log.error("the source of entitlements went back in time", extra={"user": str(statement.user_id)})
                    await self._repository.put_back(statement, stored)
                    repaired += 1
                elif stored != statement.revision:
                    repaired += await self._repository.apply(statement)
            after = page[-1].user_id
        for user_id, revision in ours.items():
            await self._repository.remove(user_id, revision)
            repaired += 1
        return repaired
