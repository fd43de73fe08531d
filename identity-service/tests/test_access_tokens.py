"""Access tokens that we did not issue like this are refused by the API, whatever is wrong with them."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.canonical_jws import is_canonical, with_low_s
from chassis.testing.http import assert_problem
from chassis.testing.tokens import signature_twin
from chassis.tokens import InvalidTokenError

Forge = Callable[..., str]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def encode(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, claims, signature = token.split(".")
    return *(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims)), signature


def hmac_token(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """By hand: PyJWT itself refuses to make such a token."""
    head = f"{encode(header)}.{encode(claims)}"
    return f"{head}.{base64.urlsafe_b64encode(hmac.digest(secret, head.encode(), 'sha256')).rstrip(b'=').decode()}"


@pytest.fixture
async def forge(resources: Any, user: Any) -> Forge:
    """Tokens with our own key, and one thing changed: `forge(aud="other")`, `forge(header={"typ": "JWT"})`."""
    kid, key = await resources.signing_keys.signing_key()
    _, good, _ = parts(user.access_token)

    def make(*, header: dict[str, Any] | None = None, **claims: Any) -> str:
        payload = {name: value for name, value in {**good, **claims}.items() if value != "absent"}
        return with_low_s(jwt.encode(payload, key, "ES256", headers={"typ": "at+jwt", "kid": kid, **(header or {})}))

    return make


async def me(api: httpx.AsyncClient, token: str) -> httpx.Response:
    return await api.get("/v1/users/me", headers={"Authorization": f"Bearer {token}"})


async def test_the_forge_makes_good_tokens_when_nothing_is_changed(api: httpx.AsyncClient, forge: Forge) -> None:
    assert (await me(api, forge())).status_code == 200


NOW = int(time.time())
# The future of a whole test run, not of the moment in which this module was read.
DAY = 86_400


@pytest.mark.parametrize(
    "claims",
    [
        *({name: "absent"} for name in ("iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp", "ver", "auth_time")),
        {"iss": "https://evil.example"}, {"aud": "other"}, {"aud": ["edge", "other"]}, {"aud": []},
        {"sub": ""}, {"sub": 0}, {"sub": "me"}, {"sid": ""}, {"sid": "0"}, {"sid": None},
        {"exp": NOW - 6, "iat": NOW - 600, "nbf": NOW - 600}, {"exp": str(NOW + 600)}, {"exp": NOW + 600.5},
        {"exp": 10**400}, {"exp": None}, {"exp": NOW + 10**6}, {"nbf": NOW + DAY}, {"iat": NOW + DAY}, {"iat": "now"},
        {"ver": "1"}, {"ver": True}, {"ver": 0}, {"ver": -1}, {"roles": "admin"}, {"roles": [1]},
        {"sid": "0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11"}, {"sub": "0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11"},
    ],
)  # fmt: skip
async def test_claims_that_are_not_ours_are_refused(
    api: httpx.AsyncClient, forge: Forge, claims: dict[str, Any]
) -> None:
    assert_problem(await me(api, forge(**claims)), 401, "invalid-token")


async def test_a_role_in_the_token_is_not_believed(api: httpx.AsyncClient, forge: Forge) -> None:
    bearer = {"Authorization": f"Bearer {forge(roles=['user', 'admin'])}"}
    assert_problem(await api.get("/v1/users", headers=bearer), 403, "forbidden")


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"}, {"typ": None}, {"kid": "unknown"}, {"kid": "../../etc/passwd"}, {"kid": "' OR 1=1 --"},
        {"jku": "https://evil.example/jwks"}, {"jwk": {"kty": "oct", "k": "AA"}}, {"x5u": "https://evil.example"},
        {"crit": ["exp"]}, {"zip": "DEF"}, {"cty": "JWT"}, {"extra": 1},
    ],
)  # fmt: skip
async def test_headers_that_are_not_ours_are_refused(
    api: httpx.AsyncClient, forge: Forge, header: dict[str, Any]
) -> None:
    assert_problem(await me(api, forge(header=header)), 401, "invalid-token")


async def test_other_algorithms_and_keys_are_refused(api: httpx.AsyncClient, resources: Any, user: Any) -> None:
    kid, key = await resources.signing_keys.signing_key()
    header, claims, signature = parts(user.access_token)
    headers = {"typ": "at+jwt", "kid": kid}
    public = key.public_key()
    raw = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    forged = [
        f"{encode({**header, 'alg': 'none'})}.{encode(claims)}.",
        f"{encode({**header, 'alg': 'None'})}.{encode(claims)}.{signature}",
        f"{encode({**header, 'alg': 'ES384'})}.{encode(claims)}.{signature}",
        hmac_token({**header, "alg": "HS256"}, claims, raw),
        hmac_token({**header, "alg": "HS256"}, claims, spki),
        with_low_s(jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers=headers)),
        f"{encode(header)}.{encode(claims)}.",
        f"{encode(header)}.{encode(claims)}.{'A' * 86}",
        f"{encode(header)}.{encode({**claims, 'sub': claims['sid']})}.{signature}",
    ]
    for token in forged:
        assert_problem(await me(api, token), 401, "invalid-token")


@settings(max_examples=150)
@given(data=st.data())
async def test_any_change_to_header_or_payload_is_refused(resources: Any, user: Any, data: st.DataObject) -> None:
    header, claims, signature = parts(user.access_token)
    changed = data.draw(st.sampled_from(["header", "claims"]))
    target = header if changed == "header" else claims
    name = data.draw(st.sampled_from(sorted(target)) | st.text(max_size=8))
    value = data.draw(JSON)
    if name in target and (value, type(value)) == (target[name], type(target[name])):
        return
    target[name] = value
    with pytest.raises(InvalidTokenError):
        await resources.verifier.verify(f"{encode(header)}.{encode(claims)}.{signature}")


@settings(max_examples=150)
@given(signature=st.binary(max_size=80) | st.binary(min_size=64, max_size=64))
async def test_any_other_signature_is_refused(resources: Any, user: Any, signature: bytes) -> None:
    head, _, good = user.access_token.rpartition(".")
    other = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    if other == good:
        return
    with pytest.raises(InvalidTokenError):
        await resources.verifier.verify(f"{head}.{other}")


async def test_every_issued_token_has_the_one_accepted_spelling(api: httpx.AsyncClient, user: Any) -> None:
    # Of both signatures that verify the signer's arithmetic gives the wrong one half of the time.
    token = user.refresh_token
    for _ in range(16):
        answer = await api.post("/v1/auth/refresh", json={"refreshToken": token})
        issued, token = answer.json()["accessToken"], answer.json()["refreshToken"]
        assert is_canonical(issued)
        assert (await me(api, issued)).status_code == 200
        assert_problem(await me(api, signature_twin(issued)), 401, "invalid-token")
        assert_problem(await me(api, f"{issued}=="), 401, "invalid-token")
