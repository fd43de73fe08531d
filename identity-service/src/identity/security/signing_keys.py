"""Keys that sign access tokens: making one, and keeping its private part encrypted."""

import base64
import json
import secrets
from hashlib import sha256
from typing import Any

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


def thumbprint(jwk: dict[str, Any]) -> str:
    """The RFC 7638 thumbprint of an elliptic-curve public key."""
    required = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(sha256(canonical).digest()).rstrip(b"=").decode()


class KeyWrap:
    """AES-256-GCM under a key derived from a secret of the environment; the key id is authenticated with it."""

    def __init__(self, secret: str, *old_secrets: str) -> None:
        self._ciphers = [AESGCM(self._derive(each)) for each in (secret, *old_secrets)]

    @staticmethod
    def _derive(secret: str) -> bytes:
        return HKDF(hashes.SHA256(), 32, salt=None, info=b"identity/signing-keys/v1").derive(secret.encode())

    def wrap(self, kid: str, private_key: ec.EllipticCurvePrivateKey) -> bytes:
        """The encrypted private key (PKCS #8, DER)."""
        der = private_key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, der, kid.encode())

    def unwrap(self, kid: str, wrapped: bytes) -> ec.EllipticCurvePrivateKey | None:
        """The private key; None when none of the secrets opens it."""
        for cipher in self._ciphers:
            try:
                der = cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], kid.encode())
            except InvalidTag:
                continue
            key = serialization.load_der_private_key(der, None)
            return key if isinstance(key, ec.EllipticCurvePrivateKey) else None
        return None


def new_key(wrap: KeyWrap) -> tuple[str, dict[str, Any], bytes]:
    """A new P-256 key: its id, its public JWK as published, and its wrapped private part."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    public: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    kid = thumbprint(public)
    jwk = {name: public[name] for name in ("kty", "crv", "x", "y")} | {"kid": kid, "use": "sig", "alg": "ES256"}
    return kid, jwk, wrap.wrap(kid, private_key)
