"""Talking to an application in tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app`, whose lifespan runs around it."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(state or {})
            await app(scope, receive, send)

        transport = httpx.ASGITransport(app=with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as client:
            yield client


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    """Check that `response` is the problem document `code` with every member the contract asks for."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = response.json()
    assert document["code"] == code, document
    assert document["status"] == status
    assert {"type", "title", "detail", "instance", "requestId"} <= document.keys()
    assert document["requestId"] == response.headers["x-request-id"]
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
    if status == 422:
        assert isinstance(document["errors"], list)
        assert all({"pointer", "message"} == set(error) for error in document["errors"])
    return document
