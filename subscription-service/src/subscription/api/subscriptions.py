"""Subscriptions."""

from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request, Response

from chassis.app import service_router
from chassis.auth import authenticated
from chassis.errors import ForbiddenError
from chassis.fields import Id
from chassis.idempotency import Answer
from chassis.pagination import Page, PageParams
from subscription.api import answers
from subscription.api.dependencies import CONDITIONAL, CurrentPrincipal, CurrentResources, Idempotency
from subscription.api.schemas.subscriptions import SubscriptionCreate, SubscriptionRead
from subscription.domain.errors import (
    AlreadySubscribedError,
    PackageArchivedError,
    PackageNotFoundError,
    SubscriptionLimitReachedError,
    SubscriptionNotActiveError,
    SubscriptionNotFoundError,
)
from subscription.domain.subscriptions import (
    Subscription,
    SubscriptionOrder,
    SubscriptionQuery,
    SubscriptionSortKey,
    SubscriptionStatus,
)

router = service_router(prefix="/v1/subscriptions", tags=["subscriptions"], dependencies=[Depends(authenticated)])

SubscriptionId = Annotated[Id, Path(alias="subscriptionId", description="The subscription's id.")]
SubscriptionSort = Literal["createdAt", "-createdAt", "expiresAt", "-expiresAt"]
_SORT_KEYS = {"createdAt": SubscriptionSortKey.CREATED_AT, "expiresAt": SubscriptionSortKey.EXPIRES_AT}


@router.post(
    "",
    status_code=201,
    response_model=SubscriptionRead,
    responses=answers.changing(
        *answers.WITH_BODY,
        *answers.IDEMPOTENT,
        ForbiddenError,
        PackageNotFoundError,
        PackageArchivedError,
        AlreadySubscribedError,
        SubscriptionLimitReachedError,
        status=201,
    ),
    summary="Subscribe to a package",
)
async def subscribe(
    body: SubscriptionCreate, caller: CurrentPrincipal, resources: CurrentResources, idempotency: Idempotency
) -> Response:
    """Gives the caller the genres of the package's newest version, now."""

    def created(subscription: Subscription) -> Answer:
        location = f"/v1/subscriptions/{subscription.id}"
        return answers.answer(SubscriptionRead.of(subscription), status=201, location=location)

    order = SubscriptionOrder(body.package_id, (caller.user_id,), body.expires_at)
    answer = await resources.subscriptions.subscribe(caller, order, idempotency, created)
    return answer.to_response()


@router.get(
    "",
    response_model=Page[SubscriptionRead],
    responses=answers.reading(ForbiddenError),
    dependencies=[CONDITIONAL],
    summary="List subscriptions",
)
async def list_subscriptions(  # noqa: PLR0913 - FastAPI injects each
    request: Request,
    caller: CurrentPrincipal,
    resources: CurrentResources,
    page: PageParams,
    status: Annotated[SubscriptionStatus | None, Query(description="Only those in this state.")] = None,
    package_id: Annotated[Id | None, Query(alias="packageId", description="Only those to this package.")] = None,
    user_id: Annotated[
        Id | None, Query(alias="userId", description="Whose; somebody else's only for an administrator.")
    ] = None,
    sort: Annotated[SubscriptionSort, Query(description="What never expires counts as expiring last.")] = "-createdAt",
) -> Response:
    """One's own; an administrator sees everybody's."""
    query = SubscriptionQuery(
        page=page,
        user_id=user_id or (None if caller.is_admin else caller.user_id),
        package_id=package_id,
        status=status,
        sort=_SORT_KEYS[sort.removeprefix("-")],
        descending=sort.startswith("-"),
    )
    found = await resources.subscriptions.list_subscriptions(caller, query)
    return answers.page_shown(request, [SubscriptionRead.of(one) for one in found.items], found.total, page)


@router.get(
    "/{subscriptionId}",
    response_model=SubscriptionRead,
    responses=answers.reading(SubscriptionNotFoundError),
    dependencies=[CONDITIONAL],
    summary="Read a subscription",
)
async def get_subscription(
    request: Request, subscription_id: SubscriptionId, caller: CurrentPrincipal, resources: CurrentResources
) -> Response:
    """Somebody else's is not found, unless by an administrator."""
    found = await resources.subscriptions.get_subscription(caller, subscription_id)
    return answers.shown(request, SubscriptionRead.of(found))


@router.post(
    "/{subscriptionId}/upgrade",
    response_model=SubscriptionRead,
    responses=answers.changing(SubscriptionNotFoundError, SubscriptionNotActiveError, status=200),
    summary="Upgrade a subscription",
)
async def upgrade_subscription(
    subscription_id: SubscriptionId, caller: CurrentPrincipal, resources: CurrentResources
) -> Response:
    """Moves it to the package's newest version; nothing changes when it is there already."""
    upgraded = await resources.subscriptions.upgrade(caller, subscription_id)
    return answers.answer(SubscriptionRead.of(upgraded)).to_response()


@router.delete(
    "/{subscriptionId}",
    status_code=204,
    response_class=Response,
    responses=answers.changing(SubscriptionNotFoundError),
    summary="Cancel a subscription",
)
async def cancel_subscription(
    subscription_id: SubscriptionId, caller: CurrentPrincipal, resources: CurrentResources
) -> Response:
    """Access ends at once. One that has ended already stays as it is."""
    await resources.subscriptions.cancel(caller, subscription_id)
    return answers.nothing_to_show()
