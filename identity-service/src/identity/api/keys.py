"""The public keys that access tokens are verified with."""

from typing import Literal

from fastapi import Response
from pydantic import Field

from chassis.app import service_router
from chassis.fields import ResponseModel
from chassis.problems import problem_responses
from identity.api.dependencies import ALWAYS, CurrentResources
from identity.services.signing_keys import JWKS_MAX_AGE_SECONDS

router = service_router(tags=["sessions"])


class PublicKey(ResponseModel):
    """A JSON Web Key (RFC 7517) for ES256."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str = Field(examples=["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"])
    y: str = Field(examples=["x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"])
    kid: str = Field(description="RFC 7638 thumbprint.", examples=["oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"])
    use: Literal["sig"]
    alg: Literal["ES256"]


class PublicKeySet(ResponseModel):
    keys: list[PublicKey]


@router.get(
    "/.well-known/jwks.json",
    summary="The keys that access tokens are signed with",
    responses=problem_responses(*ALWAYS),
)
async def get_jwks(response: Response, resources: CurrentResources) -> PublicKeySet:
    response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE_SECONDS}"
    return PublicKeySet.model_validate(await resources.signing_keys.jwks())
