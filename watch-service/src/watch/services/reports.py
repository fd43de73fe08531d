"""Reports on what users have watched."""

import uuid
from collections.abc import AsyncIterator, Sequence

from chassis.errors import ForbiddenError
from chassis.pagination import PageRequest, Slice
from chassis.tokens import Principal
from watch.domain.history import Period
from watch.domain.reports import NamedReport, compile_report
from watch.storage.genres import GenreRepository
from watch.storage.reports import ReportRepository
from watch.storage.users import UserRepository

_ALL_TIME = Period()


class ReportService:
    def __init__(self, reports: ReportRepository, genres: GenreRepository, users: UserRepository) -> None:
        self._reports = reports
        self._genres = genres
        self._users = users

    async def report_on(self, principal: Principal, user_id: uuid.UUID, period: Period) -> NamedReport:
        """The report on a user, for the user or an administrator; zeros without history.

        Raises `ForbiddenError` for anybody else, whether the user exists or not.
        """
        if user_id != principal.user_id and not principal.is_admin:
            raise ForbiddenError(
                "Only an administrator may see the report of another user. Ask for your own with GET /v1/reports/me."
            )
        return (await self._compile([user_id], period))[0]

    async def list_reports(
        self, user_ids: frozenset[uuid.UUID] | None, min_films: int, page: PageRequest
    ) -> Slice[NamedReport]:
        """One report per user with history, in the order of their ids; computed for the users of this page only."""
        users = await self._users.list_with_films(user_ids, min_films, page)
        return Slice(await self._compile(users.items, _ALL_TIME), users.total)

    async def export(
        self, user_ids: frozenset[uuid.UUID] | None, min_films: int
    ) -> AsyncIterator[Sequence[NamedReport]]:
        """The reports of all users with history, a batch at a time."""
        async for users in self._users.stream_with_films(user_ids, min_films):
            yield await self._compile(users, _ALL_TIME)

    async def _compile(self, user_ids: Sequence[uuid.UUID], period: Period) -> list[NamedReport]:
        if not user_ids:
            return []
        tallies = await self._reports.tallies(user_ids, period)
        reports = [compile_report(user_id, tallies.get(user_id, ())) for user_id in user_ids]
        # Names after tallies: a genre is stored before the first entry that mentions it.
        names = await self._genres.names(report.theme.genre_id for report in reports if report.theme)
        return [NamedReport(report, names[report.theme.genre_id] if report.theme else None) for report in reports]
