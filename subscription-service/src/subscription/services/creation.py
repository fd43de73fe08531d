"""Creating something at most once per Idempotency-Key, with checks at other services before the transaction."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.idempotency import Answer, IdempotencyKeys, IdempotentRequest
from chassis.sql import Database
from subscription.storage.answers import is_answered

Prepared = TypeVar("Prepared")


class _NotAnsweredYet(Exception):  # noqa: N818 - never leaves this module
    """The stored answer is too old to count: go on and do the work."""


async def _not_answered() -> Answer:
    raise _NotAnsweredYet


class Creator:
    """Runs creations and remembers their answers."""

    def __init__(self, database: Database, keys: IdempotencyKeys) -> None:
        self._database = database
        self._keys = keys

    async def create(
        self,
        request: IdempotentRequest | None,
        prepare: Callable[[], Awaitable[Prepared]],
        effect: Callable[[AsyncSession, Prepared], Awaitable[Answer]],
    ) -> Answer:
        """The stored answer of `request`, or that of `effect`, stored in the transaction of the effect.

        `prepare` asks other services, so it runs outside of any transaction; it is not run for a repetition,
        which must be answered as before whatever has become of them. Raises what either of both raises.
        """
        if request is not None and await self._database.read(lambda session: is_answered(session, request)):
            try:
                return await self._database.transaction(
                    lambda session: self._keys.once(session, request, _not_answered)
                )
            except _NotAnsweredYet:
                pass
        prepared = await prepare()
        return await self._database.transaction(
            lambda session: self._keys.once(session, request, lambda: effect(session, prepared))
        )

    async def sweep(self, limit: int) -> int:
        """Forget up to `limit` answers that are older than a day; how many."""
        return await self._database.transaction(lambda session: self._keys.sweep(session, limit))
