"""MongoDB through PyMongo's asynchronous API."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

from pymongo import AsyncMongoClient, lock
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, ExecutionTimeout, NetworkTimeout, PyMongoError, WaitQueueTimeoutError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from chassis import tracing
from chassis.errors import UnavailableError
from chassis.mongo_tracing import CommandSpans

_log = logging.getLogger(__name__)

Document = dict[str, Any]
_Result = TypeVar("_Result")

_WATCH_SECONDS = 5.0
# Longer than server selection, connecting and an answer may take together.
_HANGS_AFTER_SECONDS = 16.0
_HUNG_CLIENT = 70  # EX_SOFTWARE of sysexits.h
MongoDatabase = AsyncDatabase[Document]


async def _wait_for(work: Awaitable[_Result], limit: float | None) -> _Result:
    """`asyncio.wait_for` in the manner of Python 3.12: the caller waits itself.

    That of 3.11 waits through a task. Cancelled as its time runs out, it goes on before that task has taken the lock
    of a condition back: PyMongo then gives back a lock that somebody else holds and leaves one that nobody holds,
    so that its client hangs for ever.
    """
    async with asyncio.timeout(limit):
        return await work


if sys.version_info < (3, 12):
    lock.wait_for = _wait_for  # type: ignore[assignment,attr-defined]  # what its conditions wait with


class StoreUnavailableError(UnavailableError):
    """The document store does not answer."""

    default_detail = "The service's document store does not answer at the moment. Try again shortly."


class Mongo:
    """A client of one MongoDB database; to be made inside the running event loop (PyMongo is bound to one).

    Writes wait for a majority and the journal, so that an acknowledged write survives a failover.
    """

    def __init__(self, database_url: str) -> None:
        self.client: AsyncMongoClient[Document] = AsyncMongoClient(
            database_url,
            tz_aware=True,
            serverSelectionTimeoutMS=2000,
            connectTimeoutMS=2000,
            waitQueueTimeoutMS=2000,
            # Not timeoutMS: beside it the limit on server selection is ignored, and while the store is away every
            # caller waits for the whole of it instead of two seconds.
            socketTimeoutMS=10_000,
            maxPoolSize=50,
            uuidRepresentation="standard",
            appname="movie-package-suite",
            event_listeners=[CommandSpans()] if tracing.is_recording() else [],
        )
        self.database: MongoDatabase = self.client.get_default_database().with_options(
            write_concern=WriteConcern(w="majority", j=True), read_concern=ReadConcern("majority")
        )

    async def aclose(self) -> None:
        await self.client.close()

    async def ping(self) -> None:
        """Raises when the store does not answer."""
        await self.database.command("ping")

    async def now(self) -> datetime:
        """The store's clock. Raises when it does not answer."""
        answer = await self.database.command("hello", codec_options=self.database.codec_options)
        moment: datetime = answer["localTime"]
        return moment

    async def watch(self, end_process: Callable[[int], object] = os._exit) -> None:
        """End this process when its client hangs, so that whoever runs it starts it anew.

        After its server had been killed, PyMongo's asynchronous client (4.20) was seen with the lock of its topology
        held by nobody: every operation then waits for ever, past all of the client's own time limits, although
        the server is back. A client that keeps its limits always answers a ping within them, if only with an error.
        """
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            # Not cancelled when it is late: a cancelled server selection is what may leave the lock behind.
            ping = asyncio.ensure_future(self.ping())
            done, _ = await asyncio.wait({ping}, timeout=_HANGS_AFTER_SECONDS)
            if not done:
                _log.critical("the MongoDB client hangs; this process ends to be started anew")
                end_process(_HUNG_CLIENT)
                return
            if not ping.cancelled():
                ping.exception()


def is_unavailable(error: PyMongoError) -> bool:
    """Whether `error` says that the store could not be reached or was too slow, rather than that we were wrong."""
    return isinstance(
        error, ConnectionFailure | NetworkTimeout | ExecutionTimeout | WaitQueueTimeoutError
    ) or error.has_error_label("RetryableWriteError")


@asynccontextmanager
async def translate_outage() -> AsyncIterator[None]:
    """Turn PyMongo's outage errors inside the block into `StoreUnavailableError`."""
    try:
        yield
    except PyMongoError as error:
        if not is_unavailable(error):
            raise
        _log.warning("document store unavailable", extra={"reason": type(error).__name__})
        raise StoreUnavailableError from error
