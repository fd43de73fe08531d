"""Comparing the projection of entitlements with its source, and repairing what differs."""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from catalog.clients.subscriptions import SubscriptionsClient
from catalog.domain.entitlements import Entitlements, Grant, Statement
from catalog.storage.entitlements import BUCKETS, EntitlementRepository, bucket_of

_log = logging.getLogger(__name__)

_PAGE = 500


class EntitlementHealing:
    """Finds buckets of users whose revisions differ, twice in a row, and takes the source's word for them.

    A difference that is gone on the second look was an event on its way.
    """

    def __init__(
        self, repository: EntitlementRepository, subscriptions: SubscriptionsClient, second_look_seconds: float = 10.0
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

    async def rebuild(self, after: int = -1, *, dry_run: bool = False) -> AsyncIterator[tuple[int, int]]:
        """Compare everything behind the bucket `after`, contents included: each bucket, and how many users differed.

        Every step is guarded by revisions, so it may run beside consumers, sweeps and itself, and may be run again.
        """
        for bucket in range(after + 1, BUCKETS):
            yield bucket, await self._heal(bucket, dry_run=dry_run)

    async def reconcile(
        self, user_id: uuid.UUID, *, dry_run: bool = False
    ) -> tuple[Entitlements | None, Statement | None, bool]:
        """Compare one user and repair: what was held, what the source says, and whether they differed."""
        held = await self._repository.find(user_id)
        # The only user behind its predecessor that can have this id; another one means that the source has none.
        after = uuid.UUID(int=user_id.int - 1) if user_id.int else None
        found = await self._subscriptions.bucket(bucket_of(user_id), after, 1)
        statement = next((one for one in found if one.user_id == user_id), None)
        return held, statement, await self._repair(held, statement, dry_run=dry_run)

    async def _differing(self) -> set[int]:
        ours = await self._repository.digest()
        theirs = await self._subscriptions.digest()
        return {bucket for bucket in ours.keys() | theirs.keys() if ours.get(bucket) != theirs.get(bucket)}

    async def _heal(self, bucket: int, *, dry_run: bool = False) -> int:
        # Ours first: whatever the source then does not know, or knows only older, it has truly lost.
        ours = await self._repository.in_bucket(bucket)
        repaired = 0
        after: uuid.UUID | None = None
        while page := await self._subscriptions.bucket(bucket, after, _PAGE):
            for statement in page:
                repaired += await self._repair(ours.pop(statement.user_id, None), statement, dry_run=dry_run)
            after = page[-1].user_id
        for held in ours.values():
            repaired += await self._repair(held, None, dry_run=dry_run)
        return repaired

    async def _repair(self, held: Entitlements | None, statement: Statement | None, *, dry_run: bool) -> bool:
        """Make what is held about a user equal to what the source says; whether it was not.

        `held` was read before `statement` was asked for. Whatever is stored by now is kept if it is newer.
        """
        if statement is None:
            # Revision 0 is an answer about somebody of whom the source has no row.
            if held is None or held.revision == 0:
                return False
            if not dry_run:
                await self._repository.remove(held.user_id, held.revision)
            return True
        if held is not None and _same(held, statement):
            return False
        if dry_run:
            return True
        if held is None or held.revision < statement.revision:
            return await self._repository.apply(statement)
        if held.revision > statement.revision:
            _log.error("the source of entitlements went back in time", extra={"user": str(statement.user_id)})
        await self._repository.put_back(statement, held.revision)
        return True


def _same(held: Entitlements, statement: Statement) -> bool:
    at = statement.as_of
    return held.revision == statement.revision and _alive(held.grants, at) == _alive(statement.grants, at)


def _alive(grants: Iterable[Grant], at: datetime) -> Counter[Grant]:
    """Those that had not expired, which the source stops naming by itself, to the millisecond that is stored."""
    found: Counter[Grant] = Counter()
    for grant in grants:
        until = grant.valid_until
        if until is None:
            found[grant] += 1
        elif until > at:
            found[Grant(grant.genre_ids, until.replace(microsecond=until.microsecond // 1000 * 1000))] += 1
    return found
