"""Packages and their versions in the database."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.pagination import PageRequest, Slice
from chassis.sql import violated_constraint
from subscription.domain.errors import PackageNameTakenError
from subscription.domain.packages import (
    Package,
    PackageDraft,
    PackageQuery,
    PackageSortKey,
    PackageStatus,
    PackageVersion,
)
from subscription.storage.genres import GenreRepository
from subscription.storage.package_index import PackageIndex
from subscription.storage.package_search import Indexed, Matches, PackageSearch, filters, like_start
from subscription.storage.pages import branch, in_page_order, page_of
from subscription.storage.search_counts import SearchCounts
from subscription.storage.tables import package_version_genres, package_versions, packages, subscriptions
from subscription.storage.totals import TotalRepository, package_total

_UNIQUE_NAME = "uq_packages_active_name"
# What it costs to read a package by its id and sort it, over what a step in the list's order costs.
BY_ID_COST = 1.0
_NEWEST: Select[Any] = select(packages, package_versions.c.description).join(
    package_versions,
    and_(package_versions.c.package_id == packages.c.id, package_versions.c.version == packages.c.version),
)


def _held_by(user_id: uuid.UUID, now: datetime) -> ColumnElement[bool]:
    """Whether the user has an active subscription to the package."""
    return exists().where(
        subscriptions.c.user_id == user_id,
        subscriptions.c.active_package_id == packages.c.id,
        subscriptions.c.ends_at > now,
    )


def _held_ids(user_id: uuid.UUID, now: datetime) -> Select[Any]:
    """The ids of the packages that the user has an active subscription to."""
    return select(subscriptions.c.active_package_id).where(
        subscriptions.c.user_id == user_id,
        subscriptions.c.active_package_id.is_not(None),
        subscriptions.c.ends_at > now,
    )


class PackageRepository:
    """Packages in the session's database. `counts` are what the process remembers from one list to the next."""

    def __init__(self, session: AsyncSession, counts: SearchCounts | None = None) -> None:
        self._session = session
        self._genres = GenreRepository(session)
        self._totals = TotalRepository(session)
        self._index = PackageIndex(session)
        self._search = PackageSearch(session, counts or SearchCounts())

    async def find(self, package_id: uuid.UUID) -> Package | None:
        return await self._one(_NEWEST.where(packages.c.id == package_id))

    async def find_for_edit(self, package_id: uuid.UUID) -> Package | None:
        """The package, locked against every other change of it and against new subscriptions."""
        return await self._one(_NEWEST.where(packages.c.id == package_id).with_for_update())

    async def find_for_subscription(self, package_id: uuid.UUID) -> Package | None:
        """The package, which until the end of the transaction keeps its version and status."""
        return await self._one(_NEWEST.where(packages.c.id == package_id).with_for_update(read=True))

    async def _one(self, statement: Select[Any]) -> Package | None:
        row = (await self._session.execute(statement)).one_or_none()
        return None if row is None else (await self._packages([row]))[0]

    async def _packages(self, rows: Sequence[Row[Any]]) -> list[Package]:
        held = await self._genres.of_versions([(row.id, row.version) for row in rows])
        return [
            Package(
                id=row.id,
                name=row.name,
                description=row.description,
                genres=held[(row.id, row.version)],
                status=PackageStatus(row.status),
                created_at=row.created_at,
                updated_at=row.updated_at,
                version=row.version,
            )
            for row in rows
        ]

    async def is_held_by(self, package_id: uuid.UUID, user_id: uuid.UUID, now: datetime) -> bool:
        """Whether the user has an active subscription to the package."""
        statement = select(packages.c.id).where(packages.c.id == package_id, _held_by(user_id, now))
        return (await self._session.execute(statement)).first() is not None

    async def is_name_taken(self, name: str, but_for: uuid.UUID) -> bool:
        """Whether another active package than `but_for` has the name."""
        statement = select(packages.c.id).where(packages.c.active_name == name, packages.c.id != but_for)
        return (await self._session.execute(statement)).first() is not None

    async def insert(self, package_id: uuid.UUID, draft: PackageDraft, author: uuid.UUID, now: datetime) -> None:
        """Store a new active package with its version 1. Raises `PackageNameTakenError`."""
        values = {"status": PackageStatus.ACTIVE.value, "version": 1, "name": draft.name}
        try:
            await self._session.execute(
                insert(packages).values(id=package_id, created_at=now, updated_at=now, **values)
            )
        except IntegrityError as error:
            raise _translated(error) from error
        await self._insert_version(package_id, 1, draft, author, now)
        await self._index.add([package_id])
        await self._totals.add({package_total(PackageStatus.ACTIVE): 1})

    async def add_version(self, package: Package, draft: PackageDraft, author: uuid.UUID, now: datetime) -> None:
        """Make `draft` the version after the present one. Raises `PackageNameTakenError`."""
        await self._update(package.id, version=package.version + 1, name=draft.name, updated_at=now)
        await self._insert_version(package.id, package.version + 1, draft, author, now)
        await self._index.add([package.id])

    async def set_status(self, package: Package, status: PackageStatus, now: datetime) -> None:
        """Archive or restore. Raises `PackageNameTakenError`."""
        await self._update(package.id, status=status.value, updated_at=now)
        await self._index.add([package.id])
        await self._totals.add({package_total(package.status): -1, package_total(status): 1})

    async def _update(self, package_id: uuid.UUID, **values: Any) -> None:
        try:
            await self._session.execute(update(packages).where(packages.c.id == package_id).values(**values))
        except IntegrityError as error:
            raise _translated(error) from error

    async def _insert_version(
        self, package_id: uuid.UUID, version: int, draft: PackageDraft, author: uuid.UUID, now: datetime
    ) -> None:
        key = {"package_id": package_id, "version": version}
        await self._session.execute(
            insert(package_versions).values(
                name=draft.name, description=draft.description, created_at=now, created_by=author, **key
            )
        )
        await self._session.execute(
            insert(package_version_genres), [{**key, "genre_id": genre_id} for genre_id in sorted(draft.genre_ids)]
        )

    async def list_packages(self, query: PackageQuery, now: datetime) -> Slice[Package]:
        """A page of the packages that `query` asks for."""
        total, branches = 0, []
        indexed = await self._search.indexed() if query.name or query.genre_ids else None
        for status in [query.status] if query.status else list(PackageStatus):
            matching, statements = await self._matching(query, status, now, indexed[status] if indexed else None)
            total += matching
            branches += statements
        if query.page.offset >= total:
            return Slice([], total)
        page = page_of(branches, query.descending, query.page)
        rows = (await self._session.execute(in_page_order(_NEWEST, page, packages, query.descending))).all()
        return Slice(await self._packages(rows), total)

    async def _matching(
        self, query: PackageQuery, status: PackageStatus, now: datetime, indexed: Indexed | None
    ) -> tuple[int, list[Select[Any]]]:
        """How many packages of one status match, and the ordered branches that have them."""
        wanted = [packages.c.status == status.value, *filters(query)]
        in_order = f"ix_packages_{query.sort.value}" + ("_desc" if query.descending else "")

        def sorted_by(index: str, *more: ColumnElement[bool], among: Select[Any] | None = None) -> Select[Any]:
            return branch(packages, query.sort.value, query.descending, [*wanted, *more], index, among)

        if query.holder and status is PackageStatus.ARCHIVED:
            held = _held_ids(query.holder, now)
            # From the user's few subscriptions to their packages, not through all that were ever archived.
            return await self._count([*wanted, packages.c.id.in_(held)]), [sorted_by("PRIMARY", among=held)]
        if not query.name and not query.genre_ids:
            return await self._totals.sum([package_total(status)]), [sorted_by(in_order)]
        if indexed is None:
            return await self._count(wanted), [sorted_by(in_order)]
        found = await self._search.find(query, status, indexed)
        total = found.every.total
        if _are_few(found.every, query.page):
            return total, [sorted_by("PRIMARY", among=found.every.ids)]
        if query.sort is not PackageSortKey.NAME or found.starting is None or found.others is None:
            return total, [sorted_by(in_order)]
        # Names that begin with the text lie together, perhaps behind all others: they are gone to.
        begins = packages.c.name.like(like_start(query.name or ""), escape="|")
        return total, [
            sorted_by("PRIMARY", where, among=matches.ids)
            if _are_few(matches, query.page)
            else sorted_by(in_order, where)
            for matches, where in ((found.starting, begins), (found.others, ~begins))
            if matches.total
        ]

    async def _count(self, conditions: Sequence[ColumnElement[bool]]) -> int:
        statement = select(func.count()).select_from(packages).where(*conditions)
        return int((await self._session.execute(statement)).scalar_one())

    async def find_version(self, package_id: uuid.UUID, version: int) -> PackageVersion | None:
        """One version of the package."""
        statement = select(package_versions).where(
            package_versions.c.package_id == package_id, package_versions.c.version == version
        )
        found = await self._versions((await self._session.execute(statement)).all())
        return found[0] if found else None

    async def list_versions(self, package: Package, page: PageRequest) -> Slice[PackageVersion]:
        """A page of the package's versions, newest first. Versions have no gaps, so the newest is the total."""
        statement = (
            select(package_versions)
            .where(package_versions.c.package_id == package.id, package_versions.c.version <= package.version)
            .order_by(package_versions.c.version.desc())
            .limit(page.size)
            .offset(page.offset)
        )
        return Slice(await self._versions((await self._session.execute(statement)).all()), package.version)

    async def _versions(self, rows: Sequence[Row[Any]]) -> list[PackageVersion]:
        held = await self._genres.of_versions([(row.package_id, row.version) for row in rows])
        return [
            PackageVersion(
                package_id=row.package_id,
                version=row.version,
                name=row.name,
                description=row.description,
                genres=held[(row.package_id, row.version)],
                created_at=row.created_at,
                created_by=row.created_by,
            )
            for row in rows
        ]


def _are_few(found: Matches, page: PageRequest) -> bool:
    """Whether reading and sorting them all is cheaper than a walk in the list's order that meets a page of them."""
    return BY_ID_COST * found.candidates * found.total <= (page.offset + page.size) * found.among


def _translated(error: IntegrityError) -> Exception:
    return PackageNameTakenError() if violated_constraint(error) == _UNIQUE_NAME else error
