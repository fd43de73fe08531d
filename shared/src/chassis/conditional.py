"""Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13)."""

import hashlib
import re

from chassis.errors import PreconditionFailedError, PreconditionRequiredError

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def strong_etag(*parts: object) -> str:
    """A strong entity tag (quotes included) over the values that the representation depends on."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()
    return f'"{digest[:32]}"'


def content_etag(body: bytes) -> str:
    """A strong entity tag of these very bytes."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names `etag`, so that 304 is the answer (weak comparison)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(tag == etag.strip('"') for _, tag in _TAG.findall(if_none_match))


def require_match(if_match: str | None, etag: str) -> None:
    """Check `If-Match` (strong comparison) before a change.

    Raises `PreconditionRequiredError` when it is missing and `PreconditionFailedError` when it names another state.
    """
    if if_match is None:
        raise PreconditionRequiredError
    if if_match.strip() == "*":
        return
    if not any(not weak and tag == etag.strip('"') for weak, tag in _TAG.findall(if_match)):
        raise PreconditionFailedError
