"""Making, changing and reading packages."""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.conditional import require_match
from chassis.errors import FieldError, PreconditionFailedError, PreconditionRequiredError
from chassis.idempotency import Answer, IdempotentRequest
from chassis.ids import new_id
from chassis.pagination import PageRequest, Slice
from chassis.sql import Database, DatabaseUnavailableError
from chassis.tokens import Principal
from subscription.clients.catalog import CatalogClient
from subscription.domain.errors import (
    PackageArchivedError,
    PackageNameTakenError,
    PackageNotFoundError,
    PackageVersionNotFoundError,
    UnknownGenreError,
)
from subscription.domain.genres import Genre, GenreStatus, require_no_repeats
from subscription.domain.packages import (
    EditPreview,
    Package,
    PackageDraft,
    PackageEdit,
    PackageQuery,
    PackageStatus,
    PackageVersion,
    Unchanged,
)
from subscription.services.creation import Creator
from subscription.services.moves import SubscriberMoveService
from subscription.storage import audit
from subscription.storage.clock import DatabaseClock
from subscription.storage.genres import GenreRepository
from subscription.storage.package_index import PackageIndex
from subscription.storage.packages import PackageRepository
from subscription.storage.search_counts import SearchCounts
from subscription.storage.subscriptions import SubscriptionRepository

_log = logging.getLogger(__name__)


class PackageService:
    """Packages, for administrators to change and for everybody to read."""

    def __init__(  # noqa: PLR0913 - each is a collaborator of its own
        self,
        database: Database,
        clock: DatabaseClock,
        creator: Creator,
        catalog: CatalogClient,
        moves: SubscriberMoveService,
        *,
        move_budget_seconds: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._creator = creator
        self._catalog = catalog
        self._moves = moves
        self._move_budget_seconds = move_budget_seconds
        self._counts = SearchCounts()

    async def create_package(
        self,
        caller: Principal,
        draft: PackageDraft,
        request: IdempotentRequest | None,
        answer: Callable[[Package], Answer],
    ) -> Answer:
        """Make a package. Raises `UnknownGenreError`, `PackageNameTakenError`, `PeerUnavailableError`."""
        require_no_repeats("/genreIds", draft.genre_ids)

        async def check() -> list[Genre]:
            return await self._active_genres(draft.genre_ids, caller.token)

        async def effect(session: AsyncSession, genres: list[Genre]) -> Answer:
            now = await self._clock(session)
            package_id = new_id()
            await GenreRepository(session).learn(genres)
            await PackageRepository(session).insert(package_id, draft, caller.user_id, now)
            package = await _reread(session, package_id)
            await _audit_version(session, "package.created", package, caller)
            return answer(package)

        return await self._creator.create(request, check, effect)

    async def _active_genres(self, genre_ids: Sequence[int], token: str) -> list[Genre]:
        """These genres as the catalog knows them, all of them active."""
        known = {genre.id: genre for genre in await self._catalog.find_genres(genre_ids, token)}
        refused = []
        for index, genre_id in enumerate(genre_ids):
            if genre_id not in known:
                refused.append(FieldError(f"/genreIds/{index}", f"the catalog knows no genre {genre_id}"))
            elif known[genre_id].status is not GenreStatus.ACTIVE:
                refused.append(FieldError(f"/genreIds/{index}", f"genre {genre_id} is retired"))
        if refused:
            raise UnknownGenreError(errors=refused)
        return [known[genre_id] for genre_id in genre_ids]

    async def edit_package(
        self, caller: Principal, package_id: uuid.UUID, if_match: str | None, edit: PackageEdit
    ) -> Package:
        """Make the next version, and bring existing subscribers to it if the edit asks for that.

        A very large number of subscribers is finished by the worker after this has answered. Raises
        `PackageNotFoundError`, `PreconditionRequiredError`, `PreconditionFailedError`, `PackageArchivedError`,
        `PackageNameTakenError`, `UnknownGenreError`, `PeerUnavailableError`.
        """
        genres = await self._check_edit(caller, package_id, if_match, edit)

        async def work(session: AsyncSession) -> tuple[Package, uuid.UUID | None]:
            package = _require_editable(await PackageRepository(session).find_for_edit(package_id), if_match)
            _require_checked(package, edit, genres)
            return await self._store_edit(session, caller, package, edit, genres)

        package, move_id = await self._database.transaction(work)
        if move_id is not None:
            await self._move_subscribers(move_id)
        return package

    async def _check_edit(
        self, caller: Principal, package_id: uuid.UUID, if_match: str | None, edit: PackageEdit
    ) -> list[Genre]:
        """Refuse early what cannot succeed; the genres of the edit, unless they are those that the package has."""
        if not isinstance(edit.genre_ids, Unchanged):
            require_no_repeats("/genreIds", edit.genre_ids)
        if if_match is None:
            raise PreconditionRequiredError
        found = await self._database.read(lambda session: PackageRepository(session).find(package_id))
        package = _require_editable(found, if_match)
        if isinstance(edit.genre_ids, Unchanged) or frozenset(edit.genre_ids) == package.genre_ids:
            return []
        return await self._active_genres(edit.genre_ids, caller.token)

    async def _store_edit(
        self, session: AsyncSession, caller: Principal, package: Package, edit: PackageEdit, genres: list[Genre]
    ) -> tuple[Package, uuid.UUID | None]:
        now = await self._clock(session)
        draft = edit.next_version(package)
        if draft is not None:
            await GenreRepository(session).learn(genres)
            await PackageRepository(session).add_version(package, draft, caller.user_id, now)
            package = await _reread(session, package.id)
            await _audit_version(session, "package.edited", package, caller)
        if not edit.apply_to_subscribers:
            return package, None
        return package, await self._moves.record(session, package, caller.user_id, now)

    async def _move_subscribers(self, move_id: uuid.UUID) -> None:
        try:
            await self._moves.carry_out(move_id, budget_seconds=self._move_budget_seconds)
        except DatabaseUnavailableError:
            # The edit and the recorded move are stored: a worker finishes it, so this is no failure of the edit.
            _log.warning("move of subscribers interrupted", extra={"move": str(move_id)})

    async def preview_edit(
        self, caller: Principal, package_id: uuid.UUID, if_match: str | None, edit: PackageEdit
    ) -> EditPreview:
        """What `edit_package` would do; raises what it would raise and changes nothing."""
        genres = await self._check_edit(caller, package_id, if_match, edit)

        async def work(session: AsyncSession) -> EditPreview:
            packages = PackageRepository(session)
            package = _require_editable(await packages.find(package_id), if_match)
            _require_checked(package, edit, genres)
            draft = edit.next_version(package)
            if draft is not None and await packages.is_name_taken(draft.name, package.id):
                raise PackageNameTakenError
            subscribers = await SubscriptionRepository(session).subscribers_by_version(
                package.id, await self._clock(session)
            )
            return _preview(package, edit, genres, subscribers)

        return await self._database.read(work)

    async def archive_package(self, caller: Principal, package_id: uuid.UUID, if_match: str | None) -> None:
        """Take the package out of offer. One that is archived already stays so, whatever `if_match` says:
        a repeated DELETE whose first answer was lost has reached its aim (RFC 9110, section 13.1.1).

        Raises `PackageNotFoundError`, `PreconditionRequiredError`, `PreconditionFailedError`.
        """
        if if_match is None:
            raise PreconditionRequiredError

        async def work(session: AsyncSession) -> None:
            package = await PackageRepository(session).find_for_edit(package_id)
            if package is None:
                raise PackageNotFoundError
            if package.status is PackageStatus.ACTIVE:
                require_match(if_match, package.etag)
                await self._set_status(session, caller, package, PackageStatus.ARCHIVED)

        await self._database.transaction(work)

    async def restore_package(self, caller: Principal, package_id: uuid.UUID) -> Package:
        """Offer the package again. Raises `PackageNotFoundError`, `PackageNameTakenError`."""

        async def work(session: AsyncSession) -> Package:
            package = await PackageRepository(session).find_for_edit(package_id)
            if package is None:
                raise PackageNotFoundError
            if package.status is PackageStatus.ACTIVE:
                return package
            await self._set_status(session, caller, package, PackageStatus.ACTIVE)
            return await _reread(session, package_id)

        return await self._database.transaction(work)

    async def _set_status(
        self, session: AsyncSession, caller: Principal, package: Package, status: PackageStatus
    ) -> None:
        now = await self._clock(session)
        await PackageRepository(session).set_status(package, status, now)
        action = "package.archived" if status is PackageStatus.ARCHIVED else "package.restored"
        await audit.record(session, action, package.id, now, actor_id=caller.user_id, details={})

    async def list_packages(self, caller: Principal, query: PackageQuery) -> Slice[Package]:
        """A page of packages: active ones, and archived ones that the caller holds or administers."""
        visible = query if caller.is_admin else replace(query, holder=caller.user_id)

        async def work(session: AsyncSession) -> Slice[Package]:
            packages = PackageRepository(session, self._counts)
            return await packages.list_packages(visible, await self._clock(session))

        return await self._database.read(work)

    async def index_packages(self, limit: int) -> int:
        """Make lists find up to `limit` packages that a process of the previous version has written; how many."""
        return await self._database.transaction(lambda session: PackageIndex(session).add_unindexed(limit))

    async def get_package(self, caller: Principal, package_id: uuid.UUID) -> Package:
        """The package. Raises `PackageNotFoundError`, also for an archived one that the caller does not hold."""
        return await self._database.read(lambda session: self._visible(session, caller, package_id))

    async def list_versions(self, caller: Principal, package_id: uuid.UUID, page: PageRequest) -> Slice[PackageVersion]:
        """A page of the versions, newest first. Raises `PackageNotFoundError`."""

        async def work(session: AsyncSession) -> Slice[PackageVersion]:
            package = await self._visible(session, caller, package_id)
            return await PackageRepository(session).list_versions(package, page)

        return await self._database.read(work)

    async def get_version(self, caller: Principal, package_id: uuid.UUID, version: int) -> PackageVersion:
        """One version. Raises `PackageNotFoundError`, `PackageVersionNotFoundError`."""

        async def work(session: AsyncSession) -> PackageVersion:
            await self._visible(session, caller, package_id)
            found = await PackageRepository(session).find_version(package_id, version)
            if found is None:
                raise PackageVersionNotFoundError
            return found

        return await self._database.read(work)

    async def _visible(self, session: AsyncSession, caller: Principal, package_id: uuid.UUID) -> Package:
        packages = PackageRepository(session)
        package = await packages.find(package_id)
        if package is None:
            raise PackageNotFoundError
        if package.status is PackageStatus.ACTIVE or caller.is_admin:
            return package
        if not await packages.is_held_by(package_id, caller.user_id, await self._clock(session)):
            raise PackageNotFoundError
        return package


async def _reread(session: AsyncSession, package_id: uuid.UUID) -> Package:
    package = await PackageRepository(session).find(package_id)
    if package is None:
        raise PackageNotFoundError
    return package


def _require_editable(package: Package | None, if_match: str | None) -> Package:
    if package is None:
        raise PackageNotFoundError
    require_match(if_match, package.etag)
    if package.status is PackageStatus.ARCHIVED:
        raise PackageArchivedError
    return package


def _require_checked(package: Package, edit: PackageEdit, genres: Sequence[Genre]) -> None:
    """With `If-Match: *` the package may have changed since its genres were found to be the same."""
    unchecked = set(edit.applied_to(package).genre_ids) - package.genre_ids - {genre.id for genre in genres}
    if unchecked:
        raise PreconditionFailedError


def _preview(package: Package, edit: PackageEdit, genres: Sequence[Genre], subscribers: dict[int, int]) -> EditPreview:
    draft = edit.applied_to(package)
    version = package.version if edit.next_version(package) is None else package.version + 1
    moved = sum(count for of, count in subscribers.items() if of < version) if edit.apply_to_subscribers else 0
    return EditPreview(
        etag=package.etag,
        version=version,
        genres_added=tuple(
            sorted((genre for genre in genres if genre.id not in package.genre_ids), key=lambda genre: genre.id)
        ),
        genres_removed=tuple(genre for genre in package.genres if genre.id not in draft.genre_ids),
        subscribers_moved=moved,
        subscribers_kept=sum(subscribers.values()) - moved,
    )


async def _audit_version(session: AsyncSession, action: str, package: Package, caller: Principal) -> None:
    details = {"version": package.version, "name": package.name, "genreIds": sorted(package.genre_ids)}
    await audit.record(session, action, package.id, package.updated_at, actor_id=caller.user_id, details=details)
