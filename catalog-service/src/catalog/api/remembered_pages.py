"""Serving a page again without doing anything twice."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response

from catalog.api.dependencies import tagged
from catalog.factory import Services
from catalog.services.movies import Listing
from catalog.services.page_cache import CachedPage
from chassis.auth import bearer_token
from chassis.errors import ServiceError
from chassis.strict import StrictRoute
from chassis.tokens import AccessTokenVerifier


class RememberedPagesRoute(StrictRoute):
    """A route that looks for the finished answer before the query is even parsed.

    Only a query that was answered before is found, so that it has passed every check. Who asks is verified
    each time; whoever has the same genres gets the same bytes.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_remembered(request: Request) -> Response:
            request.state.asked_query = request.scope["query_string"]
            return _remembered(request) or await handle(request)

        return handle_remembered


def _remembered(request: Request) -> Response | None:
    services: Services = request.state.services
    verifier: AccessTokenVerifier = request.state.verifier
    try:
        principal = verifier.cached(bearer_token(request))
    except ServiceError:
        # The full way says what is wrong with it.
        return None
    entitled = services.entitlements.remembered(principal.user_id) if principal is not None else None
    snapshot = services.view.remembered()
    if entitled is None or snapshot is None:
        return None
    page = services.pages.get(snapshot.revisions.movies, (entitled, request.state.asked_query))
    return tagged(request, page.body, page.etag, page.headers) if page is not None else None


def remember(request: Request, listing: Listing, page: CachedPage) -> None:
    """Keep an answer of a `RememberedPagesRoute` for the next who asks the same."""
    if listing.can_be_shared:
        services: Services = request.state.services
        key = (listing.entitled, request.state.asked_query)
        services.pages.put(listing.snapshot.revisions.movies, key, page)
