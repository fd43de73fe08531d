"""The access-token verifier: what it accepts, and that nothing else comes through or out."""

import base64
import hashlib
import json
import string
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.canonical_jws import with_low_s
from chassis.errors import UnauthenticatedError, UnavailableError
from chassis.testing.tokens import AUDIENCE, ISSUER, TokenIssuer, signature_twin
from chassis.tokens import AccessTokenVerifier, InvalidTokenError, KeySet


@pytest.fixture
async def verifier(token_issuer: TokenIssuer) -> AccessTokenVerifier:
    return await token_issuer.verifier()


async def test_a_good_token_says_who_asks(token_issuer: TokenIssuer, verifier: AccessTokenVerifier) -> None:
    token = token_issuer.token(roles=["user", "admin"], ver=7)
    principal = await verifier.verify(token)
    assert principal.is_admin
    assert principal.version == 7
    assert principal.token == token
    assert token not in repr(principal)
    assert await verifier.verify(token) is principal


NOW = int(time.time())
# The future of a whole test run, not of the moment in which this module was read.
DAY = 86_400
BAD_CLAIMS: list[dict[str, Any]] = [
    {"iss": "https://elsewhere.example"},
    {"iss": None},
    {"aud": "other"},
    {"aud": [AUDIENCE]},
    {"aud": None},
    {"exp": NOW - 60},
    {"exp": None},
    {"exp": str(NOW + 600)},
    {"exp": NOW + 3600},
    {"exp": float(NOW + 600)},
    {"nbf": NOW + DAY},
    {"iat": NOW + DAY, "nbf": NOW + DAY, "exp": NOW + DAY + 60},
    {"iat": None},
    {"sub": ""},
    {"sub": "admin"},
    {"sub": None},
    {"sid": "x"},
    {"sid": None},
    {"jti": None},
    {"ver": "1"},
    {"ver": True},
    {"ver": None},
    {"roles": "admin"},
    {"roles": [1]},
    {"auth_time": None},
]


@pytest.mark.parametrize("claims", BAD_CLAIMS, ids=lambda c: json.dumps(c)[:40])
async def test_claims_that_are_not_ours_are_refused(
    token_issuer: TokenIssuer, verifier: AccessTokenVerifier, claims: dict[str, Any]
) -> None:
    with pytest.raises(InvalidTokenError):
        await verifier.verify(_sign_raw(token_issuer, claims))


def _sign_raw(issuer: TokenIssuer, claims: dict[str, Any], headers: dict[str, Any] | None = None) -> str:
    """A signed token with claims that PyJWT's encoder would refuse to write."""
    good = json.loads(_decode_part(issuer.token().split(".")[1]))
    payload = {k: v for k, v in {**good, **claims}.items() if v is not None}
    header = {"typ": "at+jwt", "kid": issuer.kid, **(headers or {})}
    signed = jwt.PyJWS().encode(json.dumps(payload).encode(), issuer._key, algorithm="ES256", headers=header)
    return with_low_s(signed)


BASE64URL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def _decode_part(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encode_part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"typ": "JWT"},
        {"typ": "passport+jwt"},
        {"kid": "other"},
        {"kid": "../../etc/passwd"},
        {"kid": 7},
        {"jku": "https://evil.example/jwks.json"},
        {"jwk": {"kty": "EC"}},
        {"x5c": ["AA"]},
        {"crit": ["exp"]},
        {"b64": False},
    ],
    ids=str,
)
async def test_headers_that_are_not_ours_are_refused(
    token_issuer: TokenIssuer, verifier: AccessTokenVerifier, headers: dict[str, Any]
) -> None:
    good_header, payload, signature = token_issuer.token().split(".")
    header = {**json.loads(_decode_part(good_header)), **headers}
    with pytest.raises(InvalidTokenError):
        await verifier.verify(".".join([_encode_part(json.dumps(header).encode()), payload, signature]))


async def test_algorithm_confusion_is_refused(token_issuer: TokenIssuer, verifier: AccessTokenVerifier) -> None:
    public = token_issuer._key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    _, payload, _ = token_issuer.token().split(".")
    header = {"typ": "at+jwt", "kid": token_issuer.kid}
    unsigned = _encode_part(json.dumps({**header, "alg": "none"}).encode()) + f".{payload}."
    with pytest.raises(InvalidTokenError):
        await verifier.verify(unsigned)
    symmetric = jwt.PyJWS().encode(_decode_part(payload), public.ljust(32, b"."), algorithm="HS256", headers=header)
    with pytest.raises(InvalidTokenError):
        await verifier.verify(symmetric)


async def test_another_issuers_key_is_refused(verifier: AccessTokenVerifier) -> None:
    with pytest.raises(InvalidTokenError):
        await verifier.verify(TokenIssuer().token())


@settings(max_examples=300)
@given(data=st.data())
async def test_any_changed_character_is_refused(
    token_issuer: TokenIssuer, verifier: AccessTokenVerifier, data: st.DataObject
) -> None:
    token = token_issuer.token()
    position = data.draw(st.integers(0, len(token)))
    removed = data.draw(st.integers(0, 3))
    put = data.draw(st.text(st.characters(max_codepoint=255), max_size=3))
    changed = token[:position] + put + token[position + removed :]
    if changed != token:
        with pytest.raises(InvalidTokenError):
            await verifier.verify(changed)


async def test_no_byte_can_be_replaced_added_or_left_out(
    token_issuer: TokenIssuer, verifier: AccessTokenVerifier
) -> None:
    """Every position with the character whose six bits differ in the lowest, and the ends of the parts with any byte.

    The lowest bits of a part's last character may be spare: a lenient decoder does not see them change.
    """
    token = token_issuer.token()
    await verifier.verify(token)
    dots = [index for index, character in enumerate(token) if character == "."]
    changes = {token[:index] + token[index + 1 :] for index in range(len(token))}
    for index, character in enumerate(token):
        if character != ".":
            changes.add(token[:index] + BASE64URL[BASE64URL.index(character) ^ 1] + token[index + 1 :])
    for end in [*dots, len(token)]:
        for byte in range(256):
            changes.add(token[:end] + chr(byte) + token[end:])
            changes.add(token[: end - 1] + chr(byte) + token[end:])
    for changed in changes - {token}:
        with pytest.raises(InvalidTokenError):
            await verifier.verify(changed)


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "claims", "signature"])
async def test_no_other_spelling_of_the_same_bytes_is_accepted(
    token_issuer: TokenIssuer, verifier: AccessTokenVerifier, part: int
) -> None:
    accepted, others = 0, 0
    # Fillers of every length, so that each number of spare bits occurs; the verifier does not look at them.
    for filler in ("", "x", "xx"):
        parts = token_issuer.token(client_id=f"first-party{filler}").split(".")
        good = parts[part]
        spellings = {good[:-1] + last for last in BASE64URL if _decode_part(good[:-1] + last) == _decode_part(good)}
        spellings |= {good + "=" * (-len(good) % 4 or 4), f" {good}", f"{good}\n", f"{good}*", f"{good[:5]}!{good[5:]}"}
        for spelling in spellings:
            token = ".".join([*parts[:part], spelling, *parts[part + 1 :]])
            if spelling == good:
                await verifier.verify(token)
                accepted += 1
            else:
                with pytest.raises(InvalidTokenError):
                    await verifier.verify(token)
                others += 1
    assert accepted == 3
    assert others >= 15


async def test_the_twin_of_a_signature_is_refused(token_issuer: TokenIssuer, verifier: AccessTokenVerifier) -> None:
    token = token_issuer.token()
    twin = signature_twin(token)
    key = token_issuer._key.public_key()
    assert jwt.decode(twin, key, ["ES256"], audience=AUDIENCE) == jwt.decode(token, key, ["ES256"], audience=AUDIENCE)
    assert with_low_s(twin) == token
    for _ in range(2):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(twin)
        await verifier.verify(token)


@settings(max_examples=300)
@given(text=st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}"))
async def test_nothing_but_our_own_error_comes_out(verifier: AccessTokenVerifier, text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await verifier.verify(text)


async def test_an_expired_token_is_refused_although_it_was_verified_before(token_issuer: TokenIssuer) -> None:
    keys = KeySet(token_issuer.fetch)
    await keys.refresh()
    moment = time.time()
    verifier = AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE, now=lambda: moment)
    token = token_issuer.token()
    await verifier.verify(token)
    moment += 606
    with pytest.raises(InvalidTokenError):
        await verifier.verify(token)


async def test_the_memory_of_verified_tokens_is_bounded(token_issuer: TokenIssuer) -> None:
    keys = KeySet(token_issuer.fetch)
    await keys.refresh()
    verifier = AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE, cache_size=10)
    for _ in range(30):
        await verifier.verify(token_issuer.token())
    assert 5 <= verifier.remembered <= 10


async def test_what_is_refused_by_now_is_forgotten_and_nothing_else(token_issuer: TokenIssuer) -> None:
    keys = KeySet(token_issuer.fetch)
    await keys.refresh()
    verifier = AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE, cache_size=10)
    tokens = [token_issuer.token() for _ in range(8)]
    principals = [await verifier.verify(token) for token in tokens]
    # Of both generations of the memory.
    ended = {principals[0].session_id, principals[7].session_id}
    verifier.forget(lambda principal: principal.session_id in ended)
    assert [verifier.cached(token) is None for token in tokens] == [True] + 6 * [False] + [True]
    verifier.forget(lambda _: False)
    assert verifier.remembered == 6


async def test_verified_tokens_are_found_by_their_hash(token_issuer: TokenIssuer) -> None:
    keys = KeySet(token_issuer.fetch)
    await keys.refresh()
    verifier = AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE)
    token = token_issuer.token()
    principal = await verifier.verify(token)
    assert verifier.cached(token) is principal
    assert list(verifier._young) == [hashlib.sha256(token.encode()).digest()]


async def test_a_new_key_is_fetched_once_and_the_old_one_kept_on_failure(token_issuer: TokenIssuer) -> None:
    second = TokenIssuer("second")
    published = token_issuer.jwks()
    fetches = 0

    async def source() -> dict[str, Any]:
        nonlocal fetches
        fetches += 1
        return published

    keys = KeySet(source)
    await keys.refresh()
    verifier = AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE)
    published = {"keys": [*token_issuer.jwks()["keys"], *second.jwks()["keys"]]}
    assert await verifier.verify(second.token())
    assert fetches == 2
    for _ in range(5):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(TokenIssuer("unknown").token())
    assert fetches == 2
    published = {"keys": []}
    with pytest.raises(ValueError, match="no usable key"):
        await keys.refresh()
    assert await verifier.verify(second.token())


async def test_a_withdrawn_key_ends_remembered_tokens(token_issuer: TokenIssuer) -> None:
    published = {"keys": [*token_issuer.jwks()["keys"], *TokenIssuer("second").jwks()["keys"]]}

    async def source() -> dict[str, Any]:
        return published

    keys = KeySet(source)
    await keys.refresh()
    verifier = AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE)
    token = token_issuer.token()
    await verifier.verify(token)
    published = TokenIssuer("second").jwks()
    await keys.refresh()
    with pytest.raises(InvalidTokenError):
        await verifier.verify(token)


async def test_without_any_key_the_answer_is_unavailable(token_issuer: TokenIssuer) -> None:
    async def source() -> dict[str, Any]:
        raise OSError("identity is away")

    verifier = AccessTokenVerifier(KeySet(source), issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(UnavailableError):
        await verifier.verify(token_issuer.token())
