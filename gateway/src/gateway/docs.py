"""The gateway's own pages: index, documentation that needs no internet, and health."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as PageRoute

from chassis.operations import Check, run_checks
from gateway.documentation import Documentation
from gateway.errors import DocumentationUnavailableError
from gateway.openapi import CREDIT
from gateway.pages import conditional, wants_json, web_asset, web_page
from gateway.problem_page import STYLE, problem_list
from gateway.routing import Route

_ASSETS: Mapping[str, str] = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
# Swagger UI draws its icons from data: addresses and sets styles by script; nothing comes from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
{head}
</head>
<body>
{body}
<footer><p>{credit}</p></footer>
</body>
</html>
"""
# Whoever executes a login or a refresh here goes on with its token, without having to copy it.
_START = """const TOKENS = /\\/v1\\/auth\\/(login|refresh)$/;
const LOGOUT = /\\/v1\\/auth\\/logout$/;

function follow(answer) {
  const { pathname } = new URL(answer.url, location.href);
  if (TOKENS.test(pathname) && answer.status === 200) {
    window.ui.preauthorizeApiKey("accessToken", JSON.parse(answer.text).accessToken);
  } else if (LOGOUT.test(pathname) && answer.status === 204) {
    window.ui.authActions.logout(["accessToken"]);
  }
  return answer;
}

window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    persistAuthorization: false,
    responseInterceptor: follow,
    validatorUrl: null,
  });
};
"""


def _page(title: str, head: str, body: str) -> Response:
    text = _PAGE.format(title=title, head=head, body=body, credit=CREDIT)
    return Response(
        text,
        media_type="text/html",
        headers={"content-security-policy": _POLICY, "cache-control": "no-cache"},
    )


@cache
def _asset(name: str) -> bytes:
    return (resources.files("fastapi_swagger.resources") / name).read_bytes()


class Pages:
    """The pages and what they show."""

    def __init__(
        self,
        documentation: Documentation,
        routes: Callable[[], Sequence[Route]],
        checks: Mapping[str, Check],
    ) -> None:
        self._documentation = documentation
        self._routes = routes
        self._checks = checks

    async def index(self, request: Request) -> Response:
        if not wants_json(request):
            return await web_page(request)
        return JSONResponse(
            {
                "name": "Movie package suite",
                "documentation": "/docs",
                "openapi": "/openapi.json",
                "problems": "/docs/problems",
                "keys": "/.well-known/jwks.json",
                "credit": CREDIT,
            },
            headers={"cache-control": "no-cache", "vary": "Accept"},
        )

    async def docs(self, request: Request) -> Response:
        return _page(
            "Movie package suite: API",
            '<link rel="stylesheet" href="/docs/swagger-ui.css">\n'
            '<script src="/docs/swagger-ui-bundle.js"></script>\n<script src="/docs/start.js"></script>',
            '<div id="swagger-ui"></div>\n<p><a href="/docs/problems">All problems</a></p>',
        )

    async def problems(self, request: Request) -> Response:
        return _page(
            "Movie package suite: problems",
            '<link rel="stylesheet" href="/docs/style.css">',
            f"<main>\n{problem_list(self._documentation.problems(self._routes()))}\n</main>",
        )

    async def asset(self, request: Request) -> Response:
        name = request.path_params["asset"]
        if name == "start.js":
            return conditional(request, _START.encode(), "text/javascript", cache_control="no-cache")
        if name == "style.css":
            return conditional(request, STYLE.encode(), "text/css", cache_control="no-cache")
        if name in _ASSETS:
            return conditional(request, _asset(name), _ASSETS[name], cache_control="public, max-age=86400")
        return Response(status_code=404)

    async def openapi(self, request: Request) -> Response:
        body = await self._documentation.body(self._routes())
        if body is None:
            raise DocumentationUnavailableError
        return conditional(request, body, "application/json", cache_control="no-cache")

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})

    async def ready(self, request: Request) -> Response:
        """Which check fails is for operators; their port says it."""
        results = await run_checks(self._checks)
        healthy = all(result == "ok" for result in results.values())
        return JSONResponse(
            {"status": "ok" if healthy else "not ready"},
            200 if healthy else 503,
            headers={"cache-control": "no-store", **({} if healthy else {"retry-after": "1"})},
        )

    def app(self) -> Starlette:
        """The pages as an ASGI application."""

        app = Starlette(
            routes=[
                PageRoute("/", self.index),
                PageRoute("/reset-password", web_page),
                PageRoute("/web/{asset}", web_asset),
                PageRoute("/docs", self.docs),
                PageRoute("/docs/problems", self.problems),
                PageRoute("/docs/{asset}", self.asset),
                PageRoute("/openapi.json", self.openapi),
                PageRoute("/livez", self.live),
                PageRoute("/readyz", self.ready),
            ],
        )
        app.router.redirect_slashes = False
        return app
