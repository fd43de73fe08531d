"""The versions of a package."""

from typing import Annotated

from fastapi import Depends, Path, Request, Response

from chassis.app import service_router
from chassis.auth import authenticated
from chassis.fields import QueryInt
from chassis.pagination import Page, PageParams
from subscription.api import answers
from subscription.api.dependencies import CONDITIONAL, CurrentPrincipal, CurrentResources
from subscription.api.packages import PackageId
from subscription.api.schemas.packages import PackageVersionRead
from subscription.domain.errors import PackageNotFoundError, PackageVersionNotFoundError

router = service_router(
    prefix="/v1/packages/{packageId}/versions", tags=["packages"], dependencies=[Depends(authenticated)]
)
VersionNumber = Annotated[QueryInt, Path(ge=1, le=2**31 - 1, description="Counts from 1.")]


@router.get(
    "",
    response_model=Page[PackageVersionRead],
    responses=answers.reading(PackageNotFoundError),
    dependencies=[CONDITIONAL],
    summary="List the versions of a package",
)
async def list_package_versions(
    request: Request, package_id: PackageId, caller: CurrentPrincipal, resources: CurrentResources, page: PageParams
) -> Response:
    """Every version ever, newest first."""
    found = await resources.packages.list_versions(caller, package_id, page)
    shown = [PackageVersionRead.of(version) for version in found.items]
    return answers.page_shown(request, shown, found.total, page)


@router.get(
    "/{version}",
    response_model=PackageVersionRead,
    responses=answers.reading(PackageNotFoundError, PackageVersionNotFoundError),
    dependencies=[CONDITIONAL],
    summary="Read a version of a package",
)
async def get_package_version(
    request: Request,
    package_id: PackageId,
    version: VersionNumber,
    caller: CurrentPrincipal,
    resources: CurrentResources,
) -> Response:
    """A version never changes; only the names of its genres follow the catalog."""
    found = await resources.packages.get_version(caller, package_id, version)
    return answers.shown(request, PackageVersionRead.of(found))
