"""Changes of several documents that happen together or not at all."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pymongo
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from chassis.mongo import Mongo, StoreUnavailableError, translate_outage
from watch.storage.session_leases import SessionLeases

Result = TypeVar("Result")
Session = AsyncClientSession

# With all repetitions after write conflicts: fifty changes of one user at the same moment take about one second.
SECONDS = 6.0
_GAVE_UP = ("TransientTransactionError", "UnknownTransactionCommitResult")


class Transactions:
    """Runs work in snapshot-isolated transactions that wait for a majority."""

    def __init__(self, mongo: Mongo, leases: SessionLeases) -> None:
        self._client = mongo.client
        self._leases = leases

    async def run(self, work: Callable[[Session], Awaitable[Result]]) -> Result:
        """The result of `work`, committed; `work` is repeated as a whole when another transaction was in its way.

        Raises what `work` raises, and `StoreUnavailableError` when the store does not take it in time.
        """
        async with translate_outage():
            try:
                async with self._client.start_session() as session:
                    await self._leases.renew(session)
                    with pymongo.timeout(SECONDS):
                        return await session.with_transaction(
                            work,
                            read_concern=ReadConcern("snapshot"),
                            write_concern=WriteConcern("majority", j=True),
                        )
            except PyMongoError as error:
                if any(error.has_error_label(label) for label in _GAVE_UP):
                    raise StoreUnavailableError from error
                raise
