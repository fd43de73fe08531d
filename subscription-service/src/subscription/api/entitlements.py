"""Entitlements of the caller."""

from fastapi import Depends, Request, Response

from chassis.app import service_router
from chassis.auth import authenticated
from subscription.api import answers
from subscription.api.dependencies import CONDITIONAL, CurrentPrincipal, CurrentResources
from subscription.api.schemas.entitlements import EntitlementsRead

router = service_router(prefix="/v1/entitlements", tags=["entitlements"], dependencies=[Depends(authenticated)])


@router.get(
    "/me",
    response_model=EntitlementsRead,
    responses=answers.reading(),
    dependencies=[CONDITIONAL],
    summary="Read one's entitlements",
)
async def get_entitlements(request: Request, caller: CurrentPrincipal, resources: CurrentResources) -> Response:
    """The genres that one may see now, which package gives each, and until when."""
    found = await resources.entitlements.get_entitlements(caller.user_id)
    return answers.shown(request, EntitlementsRead.of(found))
