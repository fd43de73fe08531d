"""What other services' changes mean here: renamed genres and deleted users."""

import logging
import uuid

from chassis.clock import Clock
from watch.domain.history import Genre
from watch.storage.genres import GenreRepository
from watch.storage.history import HistoryRepository
from watch.storage.transactions import Session, Transactions
from watch.storage.users import UserRepository

_log = logging.getLogger(__name__)


class LifecycleService:
    """Everything here may be called twice and in any order."""

    def __init__(
        self,
        genres: GenreRepository,
        users: UserRepository,
        history: HistoryRepository,
        transactions: Transactions,
        clock: Clock,
    ) -> None:
        self._genres = genres
        self._users = users
        self._history = history
        self._transactions = transactions
        self._clock = clock

    async def rename_genre(self, genre: Genre, revision: int) -> None:
        """Let every history and report show the genre's name as of `revision`."""
        if not await self._genres.rename(genre, revision):
            _log.info("stale name of a genre", extra={"genre": genre.id, "revision": revision})

    async def erase_user(self, user_id: uuid.UUID, revision: int) -> None:
        """Erase the history of a deleted user, for good."""
        await self._users.ensure(user_id)

        async def work(session: Session) -> None:
            await self._users.bury(user_id, revision, self._clock(), session)

        # The tombstone first: what is stored before its commit is erased below, and nothing is stored after.
        await self._transactions.run(work)
        await self._history.erase(user_id)
        _log.info("history erased", extra={"user": str(user_id)})
