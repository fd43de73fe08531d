"""Opaque tokens: 256 random bits for the client, their hash for the database."""

import hashlib
import secrets

REFRESH_PREFIX = "rt_"


def new_refresh_token() -> str:
    """A refresh token; the prefix lets secret scanners recognise one that has leaked."""
    return REFRESH_PREFIX + secrets.token_urlsafe(32)


def new_reset_token() -> str:
    """A password reset token of 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """What is stored of a token. A plain hash is enough at 256 bits of entropy (OWASP ASVS 5.0, 6.5.2)."""
    return hashlib.sha256(token.encode()).digest()
