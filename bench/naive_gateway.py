"""The gateway that is usually written: a catch-all FastAPI route and one shared httpx client. For comparison only.

It verifies tokens with the suite's own verifier, memory of verified ones included, so that what is compared is the
way of a request and not the checking of signatures. `NAIVE_UPSTREAM` and `NAIVE_JWKS` are URLs.
"""

import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response

from chassis.auth import CurrentPrincipal
from chassis.problems import install_problem_handlers
from chassis.testing.tokens import AUDIENCE, ISSUER
from chassis.tokens import AccessTokenVerifier, KeySet, jwks_over_http

HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    async with httpx.AsyncClient(base_url=os.environ["NAIVE_UPSTREAM"], trust_env=False) as client:
        keys = KeySet(jwks_over_http(client, [os.environ["NAIVE_JWKS"]]))
        await keys.refresh()
        yield {"client": client, "verifier": AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE)}


app = FastAPI(lifespan=lifespan, openapi_url=None)
install_problem_handlers(app)


@app.get("/livez")
async def live() -> str:
    return "ok"


@app.api_route("/v1/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def proxy(request: Request, path: str, principal: CurrentPrincipal) -> Response:
    client: httpx.AsyncClient = request.state.client
    headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
    headers["x-request-id"] = str(uuid.uuid4())
    headers["x-user-id"] = str(principal.user_id)
    headers["x-forwarded-for"] = request.client.host if request.client else ""
    answer = await client.request(
        request.method, f"/v1/{path}", params=request.query_params, headers=headers, content=await request.body()
    )
    returned = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
    return Response(answer.content, answer.status_code, headers=returned)
