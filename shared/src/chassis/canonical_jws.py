"""One spelling for every signed token (JWS, ES256).

By itself a token has many: decoders of base64url ignore spare bits, padding and, in Python, characters outside the
alphabet; and whenever the ECDSA signature (r, s) verifies, so does (r, n - s), which anybody can compute. Tokens are
therefore issued with the smaller s in canonical base64url (RFC 4648 section 3.5), and every other spelling is refused.
"""

import base64
import binascii

# The order n of the curve P-256 (NIST SP 800-186 section 3.2.1.3).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HALF_ORDER = _ORDER // 2
_COORDINATE_BYTES = 32


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def with_low_s(token: str) -> str:
    """The same signed token with the one signature that is accepted; signers call it on what they have signed."""
    signed, _, signature = token.rpartition(".")
    raw = _decode(signature)
    s = int.from_bytes(raw[_COORDINATE_BYTES:])
    if s <= _HALF_ORDER:
        return token
    return f"{signed}.{_encode(raw[:_COORDINATE_BYTES] + (_ORDER - s).to_bytes(_COORDINATE_BYTES))}"


def is_canonical(token: str) -> bool:
    """Whether `token` is spelled the one way that is accepted. Whether its signature is good is not looked at."""
    parts = token.split(".")
    try:
        decoded = [_decode(part) for part in parts]
    except (binascii.Error, ValueError):
        return False
    if len(parts) != 3 or [_encode(data) for data in decoded] != parts:
        return False
    signature = decoded[2]
    return len(signature) == 2 * _COORDINATE_BYTES and int.from_bytes(signature[_COORDINATE_BYTES:]) <= _HALF_ORDER
