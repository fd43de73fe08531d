"""Serving a page again without doing anything twice."""

from collections.abc import Mapping

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from catalog.api.dependencies import complete, not_modified
from catalog.factory import Services
from catalog.services.movies import Listing
from catalog.services.page_cache import CachedPage
from chassis.conditional import content_etag, is_current
from chassis.tokens import AccessTokenVerifier, Principal

_BEARER = b"bearer "


class RememberedPages:
    """Answers GET `path` with the finished answer, if there is one, before routing and parsing (ASGI middleware).

    Only a query that was answered before is found, so that it has passed every check. Who asks is verified
    each time; whoever has the same genres gets the same bytes.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        # Also what the scope holds as the route, for the access log and the metrics.
        self.path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self.path or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        page = _remembered(scope)
        if page is None:
            # The route itself sees a query that has been rewritten.
            scope["state"]["asked_query"] = scope["query_string"]
            await self._app(scope, receive, send)
            return
        scope["route"] = self
        if is_current(_header(scope, b"if-none-match"), page.etag):
            await not_modified(page.etag)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": page.headers})
        await send({"type": "http.response.body", "body": page.body})


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            text: str = value.decode("latin-1")
            return text
    return None


def _remembered(scope: Scope) -> CachedPage | None:
    offered = [value for name, value in scope["headers"] if name == b"authorization"]
    # Anything out of the ordinary is for the full way to judge.
    if len(offered) != 1 or offered[0][: len(_BEARER)].lower() != _BEARER:
        return None
    state = scope["state"]
    services: Services = state["services"]
    verifier: AccessTokenVerifier = state["verifier"]
    principal = verifier.cached(offered[0][len(_BEARER) :].decode("latin-1"))
    entitled = services.entitlements.remembered(principal.user_id) if principal is not None else None
    snapshot = services.view.remembered()
    if entitled is None or snapshot is None:
        return None
    return services.pages.get(snapshot.revisions.movies, (entitled, scope["query_string"]))


async def recall(request: Request, principal: Principal) -> Response | None:
    """The finished answer, for somebody whose genres have to be looked up first."""
    services: Services = request.state.services
    entitled = await services.entitlements.entitled(principal)
    snapshot = await services.view.current()
    page = services.pages.get(snapshot.revisions.movies, (entitled, request.state.asked_query))
    return _response(request, page) if page is not None else None


def remember(request: Request, listing: Listing, body: bytes, headers: Mapping[str, str]) -> Response:
    """The answer, kept for the next who asks the same."""
    services: Services = request.state.services
    etag = content_etag(body)
    page = CachedPage(body, etag, tuple(complete(body, etag, headers).raw_headers))
    if listing.can_be_shared:
        key = (listing.entitled, request.state.asked_query)
        services.pages.put(listing.snapshot.revisions.movies, key, page)
    return _response(request, page)


def _response(request: Request, page: CachedPage) -> Response:
    if is_current(request.headers.get("if-none-match"), page.etag):
        return not_modified(page.etag)
    response = Response(page.body)
    response.raw_headers = list(page.headers)
    return response
