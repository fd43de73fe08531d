"""Packages."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator, BeforeValidator, StringConstraints

from chassis.app import service_router
from chassis.auth import authenticated
from chassis.errors import PreconditionFailedError, PreconditionRequiredError
from chassis.fields import ExternalId, Id
from chassis.http import PeerUnavailableError
from chassis.idempotency import Answer
from chassis.pagination import Page, PageParams
from subscription.api import answers
from subscription.api.dependencies import (
    CONDITIONAL,
    CurrentAdmin,
    CurrentPrincipal,
    CurrentResources,
    Idempotency,
    IfMatch,
)
from subscription.api.schemas.packages import (
    EditPreviewRead,
    PackageCreate,
    PackageRead,
    PackageUpdate,
    composed,
    not_blank,
)
from subscription.api.schemas.subscriptions import BulkSubscriptionCreate, BulkSubscriptionRead
from subscription.domain.errors import (
    PackageArchivedError,
    PackageNameTakenError,
    PackageNotFoundError,
    SubscriptionLimitReachedError,
    UnknownGenreError,
    UnknownUserError,
)
from subscription.domain.packages import Package, PackageQuery, PackageSortKey, PackageStatus
from subscription.domain.subscriptions import SubscriptionOrder
from subscription.services.subscriptions import BulkOutcome

router = service_router(prefix="/v1/packages", tags=["packages"], dependencies=[Depends(authenticated)])

PackageSort = Literal["name", "-name", "createdAt", "-createdAt", "updatedAt", "-updatedAt"]
_SORT_KEYS = {
    "name": PackageSortKey.NAME,
    "createdAt": PackageSortKey.CREATED_AT,
    "updatedAt": PackageSortKey.UPDATED_AT,
}


def _parse_flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


PackageId = Annotated[Id, Path(alias="packageId", description="The package's id.")]
QueryFlag = Annotated[bool, BeforeValidator(_parse_flag)]


def _shown(package: Package, *, status: int = 200, location: str | None = None) -> Answer:
    return answers.answer(PackageRead.of(package), status=status, etag=package.etag, location=location)


@router.post(
    "",
    status_code=201,
    response_model=PackageRead,
    responses=answers.changing(
        *answers.WITH_BODY,
        *answers.ADMIN_ONLY,
        *answers.IDEMPOTENT,
        PackageNameTakenError,
        UnknownGenreError,
        PeerUnavailableError,
        status=201,
    ),
    summary="Create a package",
)
async def create_package(
    body: PackageCreate, caller: CurrentAdmin, resources: CurrentResources, idempotency: Idempotency
) -> Response:
    """Every genre must be one that the catalog lists as active. The name is unique among active packages."""

    def created(package: Package) -> Answer:
        return _shown(package, status=201, location=f"/v1/packages/{package.id}")

    answer = await resources.packages.create_package(caller, body.to_draft(), idempotency, created)
    return answer.to_response()


@router.get(
    "",
    response_model=Page[PackageRead],
    responses=answers.reading(),
    dependencies=[CONDITIONAL],
    summary="List packages",
)
async def list_packages(  # noqa: PLR0913 - FastAPI injects each
    request: Request,
    caller: CurrentPrincipal,
    resources: CurrentResources,
    page: PageParams,
    name: Annotated[
        Annotated[
            str, StringConstraints(min_length=1, max_length=100), AfterValidator(composed), AfterValidator(not_blank)
        ]
        | None,
        Query(description="Part of the name, without regard to case or accents."),
    ] = None,
    genre_ids: Annotated[
        list[ExternalId] | None,
        Query(alias="genreIds", max_length=100, description="Packages whose newest version has any of these genres."),
    ] = None,
    status: Annotated[PackageStatus | None, Query(description="Only those in this state.")] = None,
    sort: Annotated[PackageSort, Query(description="`-` in front for descending.")] = "name",
) -> Response:
    """Active packages and, for those who are subscribed to them or administer them, archived ones."""
    query = PackageQuery(
        page=page,
        name=name,
        genre_ids=frozenset(genre_ids or ()),
        status=status,
        sort=_SORT_KEYS[sort.removeprefix("-")],
        descending=sort.startswith("-"),
    )
    found = await resources.packages.list_packages(caller, query)
    return answers.page_shown(request, [PackageRead.of(package) for package in found.items], found.total, page)


@router.get(
    "/{packageId}",
    response_model=PackageRead,
    responses=answers.reading(PackageNotFoundError),
    dependencies=[CONDITIONAL],
    summary="Read a package",
)
async def get_package(
    request: Request, package_id: PackageId, caller: CurrentPrincipal, resources: CurrentResources
) -> Response:
    """The `ETag` is what an edit or an archiving has to name."""
    package = await resources.packages.get_package(caller, package_id)
    return answers.shown(request, PackageRead.of(package), etag=package.etag)


@router.patch(
    "/{packageId}",
    response_model=PackageRead | EditPreviewRead,
    responses=answers.changing(
        *answers.WITH_BODY,
        *answers.ADMIN_ONLY,
        PackageNotFoundError,
        PreconditionRequiredError,
        PreconditionFailedError,
        PackageArchivedError,
        PackageNameTakenError,
        UnknownGenreError,
        PeerUnavailableError,
        status=200,
    ),
    summary="Edit a package",
)
async def edit_package(  # noqa: PLR0913 - FastAPI injects each
    package_id: PackageId,
    body: PackageUpdate,
    caller: CurrentAdmin,
    resources: CurrentResources,
    if_match: IfMatch = None,
    dry_run: Annotated[
        QueryFlag, Query(alias="dryRun", description="Change nothing and answer what would change.")
    ] = False,
) -> Response:
    """A change makes the next version; existing subscriptions keep theirs unless `applyToSubscribers` is true."""
    if dry_run:
        preview = await resources.packages.preview_edit(caller, package_id, if_match, body.to_edit())
        return answers.answer(EditPreviewRead.of(preview), etag=preview.etag).to_response()
    package = await resources.packages.edit_package(caller, package_id, if_match, body.to_edit())
    return _shown(package).to_response()


@router.delete(
    "/{packageId}",
    status_code=204,
    response_class=Response,
    responses=answers.changing(
        *answers.ADMIN_ONLY, PackageNotFoundError, PreconditionRequiredError, PreconditionFailedError
    ),
    summary="Archive a package",
)
async def archive_package(
    package_id: PackageId, caller: CurrentAdmin, resources: CurrentResources, if_match: IfMatch = None
) -> Response:
    """No new subscriptions from now on; existing ones go on."""
    await resources.packages.archive_package(caller, package_id, if_match)
    return answers.nothing_to_show()


@router.post(
    "/{packageId}/restore",
    response_model=PackageRead,
    responses=answers.changing(*answers.ADMIN_ONLY, PackageNotFoundError, PackageNameTakenError, status=200),
    summary="Restore an archived package",
)
async def restore_package(package_id: PackageId, caller: CurrentAdmin, resources: CurrentResources) -> Response:
    """Refused when another active package has taken the name meanwhile."""
    return _shown(await resources.packages.restore_package(caller, package_id)).to_response()


@router.post(
    "/{packageId}/subscriptions",
    response_model=BulkSubscriptionRead,
    responses=answers.changing(
        *answers.WITH_BODY,
        *answers.ADMIN_ONLY,
        *answers.IDEMPOTENT,
        PackageNotFoundError,
        PackageArchivedError,
        SubscriptionLimitReachedError,
        UnknownUserError,
        PeerUnavailableError,
        status=200,
    ),
    summary="Subscribe several users",
)
async def subscribe_users(
    package_id: PackageId,
    body: BulkSubscriptionCreate,
    caller: CurrentAdmin,
    resources: CurrentResources,
    idempotency: Idempotency,
) -> Response:
    """All or nothing; users who hold an active subscription keep it as it is."""

    def done(outcome: BulkOutcome) -> Answer:
        return answers.answer(BulkSubscriptionRead.model_validate(outcome))

    answer = await resources.subscriptions.subscribe_many(
        caller, SubscriptionOrder(package_id, tuple(body.user_ids), body.expires_at), idempotency, done
    )
    return answer.to_response()
