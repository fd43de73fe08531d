"""Freeing what a transaction holds when the process that began it has died.

MongoDB aborts such a transaction after a minute; until then, and on the local development engine for ever, every
change of the same documents fails. So a session is on record before it begins a transaction, and anybody may end
the sessions whose record has run out.
"""

import asyncio
import logging
import uuid
from datetime import datetime, timedelta

from bson.binary import Binary
from pymongo.asynchronous.client_session import AsyncClientSession

from chassis.clock import Clock
from chassis.mongo import Mongo, translate_outage

_log = logging.getLogger(__name__)

# A transaction ends within `Transactions.SECONDS`, so within what is left of its session's lease.
LEASE = timedelta(seconds=10)
_LEFT_AT_LEAST = timedelta(seconds=7)
_EVERY_SECONDS = 2.0
# Sessions are pooled and few; this only keeps the memory of replaced ones from growing.
_REMEMBERED = 1000


class SessionLeases:
    """Which sessions may be in a transaction, and until when."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._client = mongo.client
        self._leases = mongo.database["sessionLeases"]
        self._clock = clock
        self._until: dict[uuid.UUID, datetime] = {}

    async def renew(self, session: AsyncClientSession) -> None:
        """Put `session` on record for the next transaction."""
        session_id = uuid.UUID(bytes=bytes(session.session_id["id"]))
        now = self._clock()
        if (held := self._until.get(session_id)) is not None and held - now >= _LEFT_AT_LEAST:
            return
        until = now + LEASE
        await self._leases.update_one({"_id": session_id}, {"$set": {"until": until}}, upsert=True)
        if len(self._until) >= _REMEMBERED:
            self._until.clear()
        self._until[session_id] = until

    async def end_expired(self) -> int:
        """End the sessions whose lease has run out, which aborts their transactions; returns how many."""
        async with translate_outage():
            expired = await self._leases.find({"until": {"$lt": self._clock()}}, {"until": 1}).to_list()
            if not expired:
                return 0
            # A session that is renewed at this moment loses its transaction and repeats it.
            ids = [{"id": Binary.from_uuid(lease["_id"])} for lease in expired]
            await self._client.admin.command({"killSessions": ids})
            for lease in expired:
                await self._leases.delete_one(lease)
        return len(expired)

    async def keep_ending_expired(self) -> None:
        """Do that for ever; the store being away only delays it."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.end_expired()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next round tries again
                _log.warning("expired sessions not ended", extra={"reason": f"{type(error).__name__}: {error}"})
