"""Marking, unmarking and looking at what one has watched."""

import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from chassis.clock import Clock
from chassis.mongo import StoreUnavailableError
from chassis.pagination import PageRequest, Slice
from chassis.tokens import Principal
from watch.clients.catalog import CatalogClient
from watch.domain.errors import MovieNotWatchedError, UserDeletedError
from watch.domain.history import (
    HistoryFilter,
    Marking,
    Movie,
    NewEntry,
    Order,
    WatchedMovie,
    check_watched_at,
    to_milliseconds,
)
from watch.storage.directory import Directory
from watch.storage.genres import GenreRepository
from watch.storage.history import AlreadyMarkedError, HistoryRepository
from watch.storage.transactions import Session, Transactions
from watch.storage.users import UserRepository

_log = logging.getLogger(__name__)

# A marking meets at most an unmarking between its look and its write; more rounds mean a fight, not a race.
_ROUNDS = 5


class HistoryService:
    def __init__(  # noqa: PLR0913 - the stores that one transaction spans
        self,
        catalog: CatalogClient,
        history: HistoryRepository,
        genres: GenreRepository,
        users: UserRepository,
        directory: Directory,
        transactions: Transactions,
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._history = history
        self._genres = genres
        self._users = users
        self._directory = directory
        self._transactions = transactions
        self._clock = clock

    async def mark(self, principal: Principal, movie_id: int, watched_at: datetime | None) -> Marking:
        """Mark a movie as watched, after the catalog has said that the caller may see it.

        Without `watched_at` a new entry gets the present moment and an old one keeps its own. Raises
        `InvalidRequestError`, what `CatalogClient.get_movie` raises, and `UserDeletedError`.
        """
        if watched_at is not None:
            check_watched_at(watched_at, self._clock())
            watched_at = to_milliseconds(watched_at)
        movie = await self._catalog.get_movie(movie_id, principal.token)
        for _ in range(_ROUNDS):
            if not await self._users.ensure(principal.user_id):
                raise UserDeletedError
            if (entry := await self._mark_again(principal.user_id, movie_id, watched_at)) is not None:
                return Marking(entry, is_first=False)
            try:
                return Marking(await self._mark_first(principal.user_id, movie, watched_at), is_first=True)
            except AlreadyMarkedError:
                continue
        raise StoreUnavailableError

    async def _mark_again(self, user_id: uuid.UUID, movie_id: int, watched_at: datetime | None) -> WatchedMovie | None:
        if watched_at is None:
            return await self._history.find(user_id, movie_id)
        return await self._history.move(user_id, movie_id, watched_at)

    async def _mark_first(self, user_id: uuid.UUID, movie: Movie, watched_at: datetime | None) -> WatchedMovie:
        await self._genres.remember(movie.genres)
        now = to_milliseconds(self._clock())
        entry = NewEntry(user_id, movie, watched_at or now, now)

        async def work(session: Session) -> uuid.UUID | None:
            await self._history.add(entry, session)
            return await self._users.count_in(user_id, session)

        if (crowded := await self._transactions.run(work)) is not None:
            await self._split(crowded)
        # Read back, for the names that the genres have by now.
        return await self._history.find(user_id, movie.id) or WatchedMovie(movie, entry.watched_at, entry.created_at)

    async def _split(self, segment: uuid.UUID) -> None:
        try:
            await self._directory.split(segment)
        except StoreUnavailableError:
            # The film is stored; the next user who comes into this segment asks for the split again.
            _log.warning("segment not split", extra={"segment": str(segment)})

    async def unmark(self, user_id: uuid.UUID, movie_id: int) -> None:
        """Remove a movie from the user's history; nothing happens when it is not there."""

        async def work(session: Session) -> None:
            if await self._history.remove(user_id, movie_id, session):
                await self._users.count_out(user_id, session)

        await self._transactions.run(work)

    async def get(self, user_id: uuid.UUID, movie_id: int) -> WatchedMovie:
        """The entry of one movie. Raises `MovieNotWatchedError`."""
        if (entry := await self._history.find(user_id, movie_id)) is None:
            raise MovieNotWatchedError
        return entry

    async def list_watched(
        self, user_id: uuid.UUID, wanted: HistoryFilter, order: Order, page: PageRequest
    ) -> Slice[WatchedMovie]:
        return await self._history.list_page(user_id, wanted, order, page)

    def export(self, user_id: uuid.UUID, wanted: HistoryFilter, order: Order) -> AsyncIterator[Sequence[WatchedMovie]]:
        """All entries that `wanted` means, a batch at a time."""
        return self._history.stream(user_id, wanted, order)
