"""The web page for people: a static bundle in the folder `web`, served as it lies there."""

import hashlib
import re
from collections.abc import Mapping
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

_TYPES: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NAME = re.compile(rf"[a-z][a-z0-9-]*\.({'|'.join(_TYPES)})", re.ASCII)
# The page asks for a poster only when the person has chosen to see them; nothing else comes from elsewhere, nothing
# is built from strings (trusted types), and no form may leave for anywhere if the script did not start.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https://image.tmdb.org; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def conditional(request: Request, body: bytes, media_type: str, **headers: str) -> Response:
    """`body`, or 304 when the client has it already."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"etag": etag, **{name.replace("_", "-"): value for name, value in headers.items()}}
    offered = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if etag in offered or "*" in offered:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def wants_json(request: Request) -> bool:
    """Whether a program asks at `/`: people's browsers name HTML, and who names nothing may look as well."""
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/html" not in accepted


async def web_page(request: Request) -> Response:
    """The page; which of its views is shown is decided by its script."""
    # Files are read when they are asked for: most replicas are never looked at, and keep nothing for it.
    return conditional(
        request,
        (resources.files("gateway") / "web" / "index.html").read_bytes(),
        "text/html",
        cache_control="no-cache",
        content_security_policy=_POLICY,
        cross_origin_opener_policy="same-origin",
        vary="Accept",
    )


async def web_asset(request: Request) -> Response:
    """A script, style sheet or picture of the page; 404 for anything else."""
    name = request.path_params["asset"]
    match = _NAME.fullmatch(name)
    file = resources.files("gateway") / "web" / name
    if match is None or not file.is_file():
        return Response(status_code=404)
    # Without a build step names carry no version, so a browser asks each time and mostly hears 304.
    return conditional(request, file.read_bytes(), _TYPES[match[1]], cache_control="no-cache")
