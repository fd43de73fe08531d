"""What handlers ask for."""

from typing import Annotated

from fastapi import Depends, Header, Request

from chassis.auth import CurrentAdmin, CurrentPrincipal
from chassis.idempotency import IdempotentRequest, idempotent_request
from subscription.factory import Resources


def _resources(request: Request) -> Resources:
    resources: Resources = request.state.resources
    return resources


CurrentResources = Annotated[Resources, Depends(_resources)]


async def _idempotency(
    request: Request,
    principal: CurrentPrincipal,
    resources: CurrentResources,
    _: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="1 to 255 visible ASCII characters. Repeating the request with the same key within 24 h "
            "returns the first answer again, with `Idempotency-Replayed: true`.",
        ),
    ] = None,
) -> IdempotentRequest | None:
    return await idempotent_request(request, str(principal.user_id), resources.idempotency_secret)


Idempotency = Annotated[IdempotentRequest | None, Depends(_idempotency)]


async def _if_none_match(
    _: Annotated[
        str | None,
        Header(alias="If-None-Match", description="Tags the client has: 304 if one is current."),
    ] = None,
) -> None:
    """Documents the header; `answers.shown` reads it."""


CONDITIONAL = Depends(_if_none_match)

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The `ETag` of the state that this change is based on. Required.")
]

__all__ = ["CONDITIONAL", "CurrentAdmin", "CurrentPrincipal", "CurrentResources", "Idempotency", "IfMatch"]
